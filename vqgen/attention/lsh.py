"""Locality-sensitive hashing of rows, and attention among the rows that share a bucket, at a cost that grows with n."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

UNSEEN = -1e9
"""Score of a key that is not seen: finite, so that a round in which a row sees nothing stays sound."""

LEAST = -80.0
"""Scores this far below the greatest weigh nothing, and exp is many times slower where it underflows."""

NOWHERE = 2**30
"""A place that is after every row's: what fills up a chunk is met by none."""


@lru_cache(maxsize=64)
def random_rotations(
    seed: int, *, heads: int, rounds: int, head_dim: int, buckets: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "heads rounds e half"]:
    """Draw the directions that rows are hashed by, the same for the same arguments.

    Args:
        seed: of the directions.
        heads: number of heads, each with its own directions.
        rounds: hashes per row.
        head_dim: width of a head, e.
        buckets: number of buckets, even.
        device: where they go.
        dtype: of the rows to hash.

    Returns:
        (heads, rounds, e, buckets / 2) standard normal numbers.

    Example:
        >>> where = {"device": torch.device("cpu"), "dtype": torch.float32}
        >>> random_rotations(0, heads=2, rounds=3, head_dim=4, buckets=6, **where).shape
        torch.Size([2, 3, 4, 3])
    """
    with torch.inference_mode(False):  # kept for later calls, which may train
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(heads, rounds, head_dim, buckets // 2, generator=generator, dtype=torch.float64)
        return drawn.to(device=device, dtype=dtype)


def lsh_buckets(
    rows: Float[Tensor, "b heads n e"], rotations: Float[Tensor, "heads rounds e half"]
) -> Int[Tensor, "b heads rounds n"]:
    """Hash every row, once a round: ``h(x) = argmax([x R, -x R])``. Rows that point alike are likely to share a bucket.

    Args:
        rows: (b, heads, n, e), of any length.
        rotations: (heads, rounds, e, buckets / 2) from `random_rotations`; none for a single bucket.

    Returns:
        (b, heads, rounds, n) number of the bucket, from 0.

    Example:
        >>> rows = torch.tensor([[1.0, 0.1], [2.0, 0.3], [-1.0, 0.0]]).view(1, 1, 3, 2)
        >>> lsh_buckets(rows, torch.eye(2).view(1, 1, 2, 2)).flatten().tolist()
        [0, 0, 2]

    Source: Kitaev et al., Reformer (2001.04451), section 2, after Andoni et al. (1509.02897).
    """
    if rotations.shape[-1] == 0:
        return rows.new_zeros((*rows.shape[:2], rotations.shape[1], rows.shape[2]), dtype=torch.int64)
    turned = torch.einsum("bhne,hrek->bhrnk", rows.detach(), rotations)
    return torch.cat((turned, -turned), dim=-1).argmax(dim=-1)


def visible_in_buckets(
    own: Int[Tensor, "b heads rounds m"],
    buckets: Int[Tensor, "b heads rounds t"],
    before: Bool[Tensor, "m t"],
    window: int,
) -> Bool[Tensor, "b heads m t"]:
    """Say which rows each query meets: in any round, the last few before it that share its bucket.

    Written as it is defined, at a cost of m t; `attend_in_buckets` comes to the same without looking at every pair.

    Args:
        own: (b, heads, rounds, m) buckets of the queries.
        buckets: (b, heads, rounds, t) buckets of the keys.
        before: (m, t) which keys come before each query at all.
        window: rows of its bucket that a query looks back on, >= 1.

    Returns:
        (b, heads, m, t) whether the query meets the key.

    Example:
        >>> buckets = torch.tensor([0, 1, 0, 0]).view(1, 1, 1, 4)
        >>> before = torch.ones(4, 4, dtype=torch.bool).tril(-1)
        >>> visible_in_buckets(buckets, buckets, before, window=1)[0, 0].int()
        tensor([[0, 0, 0, 0],
                [0, 0, 0, 0],
                [1, 0, 0, 0],
                [0, 0, 1, 0]], dtype=torch.int32)
    """
    shared = (own[..., :, None] == buckets[..., None, :]) & before  # (b, heads, rounds, m, t)
    from_the_end = shared.flip(-1).cumsum(dim=-1, dtype=torch.int32).flip(-1)  # 1 for the latest, 2 for the one before
    return (shared & (from_the_end <= window)).any(dim=2)


def attend_in_buckets(
    rows: Float[Tensor, "b heads n e"],
    keys: Float[Tensor, "b heads n e"],
    values: Float[Tensor, "b heads n e"],
    buckets: Int[Tensor, "b heads rounds n"],
    window: int,
    *,
    first_keys: Float[Tensor, "b heads g e"],
    first_values: Float[Tensor, "b heads g e"],
) -> Float[Tensor, "b heads n e"]:
    """Let each row attend to some rows that all see and, over all rounds, to the last ones before it in its bucket.

    Rows are sorted by bucket and then by step, and cut into chunks of ``window`` rows; what a row looks back on then
    lies in its own chunk and the one before, so it is enough to multiply those: ``2 n window`` scores a round. All
    rounds share one softmax, in which a pair that meets in several rounds counts once. For the gradient nothing but
    queries, keys, values, the mixture and its normaliser is kept; scores are computed again.

    Args:
        rows: (b, heads, n, e) queries in visiting order.
        keys: (b, heads, n, e) of the same rows.
        values: (b, heads, n, e) of the same rows.
        buckets: (b, heads, rounds, n) from `lsh_buckets`.
        window: rows of its bucket that a row looks back on, >= 1.
        first_keys: (b, heads, g, e) of rows that all see, g >= 1.
        first_values: (b, heads, g, e) of the same rows.

    Returns:
        (b, heads, n, e) one mixture of values per row.

    Source: Kitaev et al., Reformer (2001.04451), section 2, "LSH attention in Transformer" and "Multi-round LSH
    attention". There a row sees its own chunk and the one before whole, so how far it looks depends on where a chunk
    begins, and that on rows that come later; here the window is the same for every row. The gradient in pieces of one
    softmax: Dao et al., FlashAttention (2205.14135), section 3.1.
    """
    mixed: Tensor = _InBuckets.apply(rows, keys, values, first_keys, first_values, buckets, window)
    return mixed


class _InBuckets(torch.autograd.Function):
    """Softmax over pieces, each with its own greatest score, and the gradient of the whole from each piece."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        keys: Tensor,
        values: Tensor,
        first_keys: Tensor,
        first_values: Tensor,
        buckets: Tensor,
        window: int,
    ) -> Tensor:
        ctx.window = window
        rows, keys, values = rows.contiguous(), keys.contiguous(), values.contiguous()
        scores = _scores(rows, first_keys)
        greatest = scores.amax(dim=-1)
        weights = _exponentials(scores, greatest)
        total, mixed = weights.sum(dim=-1), weights.to(values.dtype) @ first_values
        for layout in _layouts(buckets, window, total.dtype):
            scores = _scores(layout.own(rows), layout.both(keys)).masked_fill_(layout.share == 0, UNSEEN)
            peak = scores.amax(dim=-1)
            weights = _exponentials(scores, peak).mul_(layout.share)
            found = layout.back(weights.to(values.dtype) @ layout.both(values))
            summed, peak = layout.back(weights.sum(dim=-1)), layout.back(peak)
            higher = torch.maximum(greatest, peak)
            before, now = ((each - higher).clamp_(min=LEAST).exp_() for each in (greatest, peak))
            greatest, total = higher, total * before + summed * now
            mixed = mixed * before[..., None].to(mixed.dtype) + found * now[..., None].to(mixed.dtype)
        mixed = mixed / total[..., None].to(mixed.dtype)
        ctx.save_for_backward(rows, keys, values, first_keys, first_values, buckets, mixed, greatest + total.log())
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, keys, values, first_keys, first_values, buckets, mixed, normaliser = ctx.saved_tensors
        gradient = gradient.contiguous()
        along = (gradient * mixed).sum(dim=-1).to(normaliser.dtype)  # (b, heads, n)

        def piece(
            asking: Tensor,
            keys: Tensor,
            values: Tensor,
            share: Tensor | None,
            toward: Tensor,
            total: Tensor,
            along: Tensor,
        ) -> tuple[Tensor, Tensor, Tensor]:
            scores = _scores(asking, keys)
            if share is None:
                weights = _exponentials(scores, total)
            else:
                weights = _exponentials(scores.masked_fill_(share == 0, UNSEEN), total).mul_(share)
            toward_values = weights.to(toward.dtype).transpose(-1, -2) @ toward
            toward_scores = (toward @ values.transpose(-1, -2)).to(weights.dtype).sub_(along[..., None]).mul_(weights)
            toward_scores = toward_scores.mul_(asking.shape[-1] ** -0.5).to(asking.dtype)
            return toward_scores @ keys, toward_scores.transpose(-1, -2) @ asking, toward_values

        toward_rows, toward_first_keys, toward_first_values = piece(
            rows, first_keys, first_values, None, gradient, normaliser, along
        )
        toward_keys, toward_values = torch.zeros_like(keys), torch.zeros_like(values)
        for layout in _layouts(buckets, ctx.window, normaliser.dtype):
            found = piece(
                layout.own(rows),
                layout.both(keys),
                layout.both(values),
                layout.share,
                *(layout.own(each) for each in (gradient, normaliser, along)),
            )
            toward_rows += layout.back(found[0])
            toward_keys += layout.back(layout.joined(found[1]))
            toward_values += layout.back(layout.joined(found[2]))
        return toward_rows, toward_keys, toward_values, toward_first_keys, toward_first_values, None, None


def _scores(asking: Tensor, keys: Tensor) -> Tensor:
    scores = asking @ keys.transpose(-1, -2)
    return scores.to(torch.promote_types(scores.dtype, torch.float32)).mul_(asking.shape[-1] ** -0.5)


def _exponentials(scores: Tensor, above: Tensor) -> Tensor:
    """``exp(scores - above)``, in the place of the scores."""
    return scores.sub_(above[..., None]).clamp_(min=LEAST).exp_()


def _layouts(buckets: Int[Tensor, "b heads rounds n"], window: int, dtype: torch.dtype) -> Iterator["_Layout"]:
    """How each round lays rows out in chunks."""
    steps = torch.arange(buckets.shape[3], device=buckets.device)
    order = (buckets * len(steps) + steps).argsort(dim=-1)  # (b, heads, rounds, n): which row is at each place
    place = torch.empty_like(order).scatter_(-1, order, steps.expand_as(order))
    # Places with the buckets a window further apart: two rows meet in a round if theirs differ by 1 to `window`.
    spread = (place + buckets * window).int()
    for each in range(buckets.shape[2]):
        layout = _Layout(order[:, :, each], place[:, :, each], window)
        layout.share = layout.meet(spread[:, :, each]).to(dtype)
        if buckets.shape[2] > 1:
            meetings = torch.zeros_like(layout.share)
            for other in range(buckets.shape[2]):
                meetings += layout.meet(spread[:, :, other])
            layout.share /= meetings.clamp_(min=1.0)
        yield layout


class _Layout:
    """The rows of one round sorted, in chunks, each of which looks at itself and at the one before it."""

    share: Tensor  # (b, heads, chunks, window, 2 window): of a pair that meets, one over how often; 0 of others

    def __init__(self, order: Int[Tensor, "b heads n"], place: Int[Tensor, "b heads n"], window: int) -> None:
        self.window = window
        filled = -(-order.shape[2] // window) * window
        # Of rows that lie in one line, of all images and heads: whole rows are copied then.
        lines = torch.arange(order.shape[0] * order.shape[1], device=order.device).view(*order.shape[:2], 1)
        self.order = (order + lines * order.shape[2]).flatten()
        self.place = (place + lines * filled).flatten()

    def own(self, rows: Tensor, pad: int = 0) -> Tensor:
        """(b, heads, n, ...) -> (b, heads, chunks, window, ...), filled up at the end."""
        picked = rows.flatten(0, 2).index_select(0, self.order).view(rows.shape)
        filled = F.pad(picked, [0] * (2 * (rows.ndim - 3)) + [0, -rows.shape[2] % self.window], value=pad)
        return filled.view(*rows.shape[:2], -1, self.window, *rows.shape[3:])

    def both(self, rows: Tensor, pad: int = 0) -> Tensor:
        """Each chunk after the one before it, (b, heads, chunks, 2 window, ...); before the first there is none."""
        chunks = self.own(rows, pad)
        before = F.pad(chunks[:, :, :-1], [0] * (2 * (rows.ndim - 2)) + [1, 0], value=pad)
        return torch.cat((before, chunks), dim=3)

    def back(self, chunks: Tensor) -> Tensor:
        """(b, heads, chunks, window, ...) -> (b, heads, n, ...), in visiting order."""
        picked = chunks.flatten(0, 3).index_select(0, self.place)
        return picked.view(*chunks.shape[:2], -1, *chunks.shape[4:])

    def joined(self, both: Tensor) -> Tensor:
        """Sum what belongs to one row: (b, heads, chunks, 2 window, ...) -> (b, heads, chunks, window, ...)."""
        joined = both[:, :, :, self.window :].clone()
        joined[:, :, :-1] += both[:, :, 1:, : self.window]
        return joined

    def meet(self, spread: Int[Tensor, "b heads n"]) -> Bool[Tensor, "b heads chunks window both"]:
        """Which rows of a chunk meet which of it and the previous one, by how far apart they are in a round."""
        apart = self.own(spread)[..., :, None] - self.both(spread, NOWHERE)[..., None, :]
        return (apart >= 1) & (apart <= self.window)
