"""Attention of the Reformer: rows meet those that a random hash puts in the same bucket."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.base import Attention, Places, Reach
from vqgen.attention.lsh import attend_in_buckets, lsh_buckets, random_rotations, visible_in_buckets


@dataclass(frozen=True)
class LSHReach(Reach):
    """What hashing needs to know of a pass.

    Attributes:
        first: index of the first new row.
        cells: cells of the grid, which the number of buckets may follow.
        opened: (t,) which rows every later row sees: those that hold no code.
        beginning: how many of them stand before all others, where the pass is whole and its rows follow each other;
            None for a pass on top of a cache, or with a mask.
        visible: (m, t) which rows come before each new row, or are it.
    """

    first: int
    cells: int
    opened: Bool[Tensor, " t"]
    beginning: int | None
    visible: Bool[Tensor, "m t"] | None

    def cut(self, first: int, count: int) -> "LSHReach":
        """The same for these rows, over all before them; see `Reach.cut`."""
        stop, visible = first + count, self.visible
        return LSHReach(
            first,
            self.cells,
            self.opened[:stop],
            self.beginning if first == 0 and visible is None else None,
            None if visible is None else visible[first:stop, :stop],
        )


class LSHAttention(Attention):
    """Let each row attend to the last few rows before it that fall into its bucket, in any of several rounds.

    A row's key is its query at unit length (times sqrt(e), so that scores are as large as elsewhere), so those with
    which its score is high point the same way. A random hash is likely to give these one bucket, and the rows of a
    bucket are found by sorting: a round costs ``2 n bucket_size`` scores in place of ``n^2``. What is computed:

        ``A_i`` = the start (and rows of a condition before it) and, over all rounds, the last ``bucket_size`` rows
        before i that share i's bucket in that round; i itself where nothing else is there;
        ``o_i = sum_{j in A_i} softmax_j(q_i k_j / sqrt(e)) v_j``.

    The hash of a row depends on that row alone, so ``A_i`` depends on no later row, and sampling with a cache meets the
    very rows that a whole pass meets. In the paper a row sees its chunk of the sorted rows and the one before, so what
    it sees depends on where chunks begin, which later rows move: a prior of that kind would know a little of the
    future in training and sample otherwise than it was trained. Sampling hashes the keys of the cache anew at every
    step, so a step costs more than a dense one; the gain is in whole passes. The start is visible to all because it
    stands for the condition.

    Signals that rotate queries and keys by different cells do not fit, as a row has one hash.

    Args:
        bucket_size: rows of its bucket that a row sees at most, and the length of the chunks, >= 1.
        rounds: hashes per row, >= 1.
        buckets: per round, even, or 1 for no hash; None for ``2 n / bucket_size``, so that chunks hold two buckets, or
            1 where the bucket can hold the whole grid.
        seed: of the random directions.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> order = torch.arange(16)[None]
        >>> attention = LSHAttention(bucket_size=4, rounds=2)
        >>> reach = attention.reach(Places(order, order - 1, first=0, height=4, width=4))
        >>> shared, values = torch.randn(2, 3, 16, 8), torch.randn(2, 3, 16, 8)
        >>> attention(shared, shared, values, reach).shape
        torch.Size([2, 3, 16, 8])

    Source: Kitaev, Kaiser and Levskaya, Reformer (2001.04451), section 2, equations 2 to 6.
    """

    shared_query_key: ClassVar[bool] = True

    def __init__(self, bucket_size: int = 32, *, rounds: int = 2, buckets: int | None = None, seed: int = 0) -> None:
        super().__init__()
        if bucket_size < 1 or rounds < 1:
            raise ValueError(f"bucket_size and rounds must be >= 1, got bucket_size={bucket_size} and rounds={rounds}")
        if buckets is not None and (buckets < 1 or (buckets > 1 and buckets % 2)):
            raise ValueError(
                f"buckets must be an even number, as each direction makes two, or 1 for no hash, got {buckets}; "
                "pass None to have it follow the grid"
            )
        self.bucket_size = bucket_size
        self.rounds = rounds
        self.buckets = buckets
        self.seed = seed

    def reach(self, places: Places) -> LSHReach:
        """Note which rows hold no code, and how the pass is laid out."""
        whole = places.first == 0 and places.visible is None
        opened = places.content_steps < 0
        # Without steps of their own, only the first row holds no code; counting them would stall a GPU.
        beginning = None if not whole else 1 if places.content_step is None else int(opened.sum())
        return LSHReach(places.first, places.height * places.width, opened, beginning, places.visible)

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Mix for each row the values of the rows it meets; see `Attention.forward`.

        Args:
            query: (b, heads, m, e); those of the newest m rows, the same as their keys.
            keys: (b, heads, t, e).
            values: (b, heads, t, e).
            reach: what `reach` made of their places.

        Returns:
            (b, heads, m, e) one mixture of values per query.
        """
        assert isinstance(reach, LSHReach), "hashing needs to know which rows hold no code"
        keys = F.rms_norm(keys, keys.shape[-1:], eps=1e-6).to(query.dtype)
        if reach.beginning is not None:
            return self._whole(query, keys, values, reach)
        return self._on_top(query, keys, values, reach)

    def hashed(self, keys: Float[Tensor, "b heads t e"], cells: int) -> Int[Tensor, "b heads rounds t"]:
        """Give rows their buckets.

        Args:
            keys: (b, heads, t, e) of the rows, of any length.
            cells: n, cells of the grid.

        Returns:
            (b, heads, rounds, t) number of the bucket in each round.
        """
        buckets = self.buckets
        if buckets is None:
            buckets = 1 if self.bucket_size >= cells else 2 * -(-cells // self.bucket_size)
        keys = keys if keys.dtype == torch.float64 else keys.float()
        rotations = random_rotations(
            self.seed,
            heads=keys.shape[1],
            rounds=self.rounds if buckets > 1 else 1,
            head_dim=keys.shape[3],
            buckets=buckets,
            device=keys.device,
            dtype=keys.dtype,
        )
        with torch.autocast(keys.device.type, enabled=False):  # the same hash in training and in sampling
            return lsh_buckets(keys, rotations)

    def _whole(self, query: Tensor, keys: Tensor, values: Tensor, reach: LSHReach) -> Tensor:
        begin, count = reach.beginning, query.shape[2]
        assert begin is not None
        head = self._on_top(query[:, :, :begin], keys[:, :, :begin], values[:, :, :begin], reach)
        if begin == count:
            return head
        rows, own_keys, own_values = (each[:, :, begin:] for each in (query, keys, values))
        window = min(self.bucket_size, count - begin)
        dtype = (
            values.dtype
        )  # under autocast normalised queries and keys come in more precision, good for the hash alone
        tail = attend_in_buckets(
            rows.to(dtype),
            own_keys.to(dtype),
            own_values,
            self.hashed(own_keys, reach.cells),
            window,
            first_keys=keys[:, :, :begin].to(dtype),
            first_values=values[:, :, :begin],
        )
        return torch.cat((head, tail), dim=2)

    def _on_top(self, query: Tensor, keys: Tensor, values: Tensor, reach: LSHReach) -> Tensor:
        count, total = query.shape[2], keys.shape[2]
        if reach.visible is None:
            before = torch.ones(count, total, dtype=torch.bool, device=keys.device).tril(total - count - 1)
        else:
            before = reach.visible.clone()
            before.diagonal(offset=total - count).fill_(False)
        buckets = self.hashed(keys, reach.cells)
        opened = reach.opened[:total]
        met = visible_in_buckets(buckets[..., total - count :], buckets, before & ~opened, self.bucket_size)
        met = met | (before & opened)
        own = torch.eye(count, dtype=torch.bool, device=keys.device) & ~met.any(dim=-1, keepdim=True)
        met = torch.cat((met[..., : total - count], met[..., total - count :] | own), dim=-1)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=met)
