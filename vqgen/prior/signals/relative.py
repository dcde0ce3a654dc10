"""Signals of a third kind: how far each known code lies from the cell to predict, told to the scores of attention."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import Attention, DenseAttention, DenseReach, LayerCache, Places, Reach, present


class RelativeSignal(nn.Module, ABC):
    """Base of the signals that add to the score of a query and a key by the displacement between their cells.

    The displacement goes from the key's content cell to the query's target cell; a row of the grid and a column add up.
    Built as ``Signal(dim=, heads=, height=, width=)``, once for every layer. For a grid of h rows there are 3 h - 1
    displacements along the columns: ``-(h - 1) .. h - 1`` between two cells, and then, for the start (and rows of a
    condition before it), ``h .. 2 h - 1``: it sits h rows above the grid, so that against it a query is told its own
    row. Columns likewise.

    Attributes:
        rows: rows that the signal lays each step out in, see `vqgen.prior.Rows`.
    """

    rows: ClassVar[int] = 1

    @abstractmethod
    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(
        self, query: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads m e"], Float[Tensor, "b heads m down"], Float[Tensor, "b heads m across"]]:
        """Score every displacement.

        Args:
            query: (b, heads, m, e).

        Returns:
            The query as it meets the content of keys, and what to add to its score with a key, before scores are
            divided by sqrt(e): (b, heads, m, 3 h - 1) by displacement in rows and (b, heads, m, 3 w - 1) in columns.
        """


@dataclass(frozen=True)
class RelativeReach(Reach):
    """Which displacements the rows of a pass have from every row and column of the grid, and where keys sit.

    Attributes:
        down: (b, m, h + 1) or (1, m, h + 1) index of the displacement of each target from each row of the grid, and
            from the start.
        across: (b, m, w + 1) or (1, m, w + 1) from each column, and from the start.
        seat: (b, t, h + w + 1) or (1, t, h + w + 1) for each key ones at its content's row and column, or one for none.
        inner: what the attention underneath made of the places.
        opened: rows at the beginning that every cache holds: a condition's, and the start.
    """

    down: Int[Tensor, "_ m down"]
    across: Int[Tensor, "_ m across"]
    seat: Float[Tensor, "_ t seats"]
    inner: Reach
    opened: int = 1

    def cut(self, first: int, count: int) -> "RelativeReach":
        """The same for these rows, over all before them; see `Reach.cut`."""
        stop = first + count
        down, across, inner = self.down[:, first:stop], self.across[:, first:stop], self.inner.cut(first, count)
        return RelativeReach(down, across, self.seat[:, :stop], inner, self.opened)


class RelativeAttention(Attention):
    """Adds what a relative signal says to the scores of another attention.

    A table of every pair of rows would be n x n for each head. But a score needs only q's product with a vector for the
    key's row and with one for its column: h + w + 1 numbers a query, which go beside the query's features, against
    ones at the key's row and column beside the key's. So any attention that multiplies queries with keys can be told,
    by its fastest kernel, and 3 h + 3 w products with vectors a query are all that is added.

    Args:
        inner: the attention to tell.
        signal: class of the signal, built anew for every layer.

    Raises:
        ValueError: when the attention takes a row's query and key to be one vector.

    Example:
        >>> from vqgen.prior import ShawSignal
        >>> attention = RelativeAttention(DenseAttention(), ShawSignal).layer(dim=16, heads=2, height=2, width=3)
        >>> order = torch.arange(6)[None]
        >>> reach = attention.reach(Places(order, order - 1, first=0, height=2, width=3))
        >>> query, keys, values = torch.randn(3, 4, 2, 6, 8)
        >>> attention(query, keys, values, reach).shape
        torch.Size([4, 2, 6, 8])
    """

    def __init__(self, inner: Attention, signal: type[RelativeSignal], built: RelativeSignal | None = None) -> None:
        super().__init__()
        if inner.shared_query_key:
            raise ValueError(
                f"{type(inner).__name__} takes a row's query and key to be one vector, and relative signals tell them "
                "apart; use signals that add to the input, such as target"
            )
        self.remembers = inner.remembers
        self.inner = inner
        self.signal = signal
        self.built = built

    def layer(self, *, dim: int, heads: int, height: int, width: int) -> "RelativeAttention":
        """Build the signal of one layer; see `Attention.layer`."""
        inner = self.inner.layer(dim=dim, heads=heads, height=height, width=width)
        return RelativeAttention(inner, self.signal, self.signal(dim=dim, heads=heads, height=height, width=width))

    def layer_cache(
        self, sizes: tuple[int, int, int, int], *, prefix: int, dtype: torch.dtype, device: torch.device
    ) -> LayerCache:
        """That of the attention underneath; see `Attention.layer_cache`."""
        return self.inner.layer_cache(sizes, prefix=prefix, dtype=dtype, device=device)

    def reach(self, places: Places) -> RelativeReach:
        """Work out the displacements; see `Attention.reach`."""
        height, width, device = places.height, places.width, places.target.device
        target = places.target.clamp_min(0)  # a row that predicts nothing meets the start alone
        indices = []
        for size, at in ((height, target // width), (width, target % width)):
            between = at[..., None] - torch.arange(size, device=device) + size - 1
            indices.append(torch.cat((between, at[..., None] + 2 * size - 1), dim=-1))
        content = places.content
        nowhere, content = content < 0, content.clamp_min(0)
        seat = torch.cat(
            (
                F.one_hot(content // width, height) * ~nowhere[..., None],
                F.one_hot(content % width, width) * ~nowhere[..., None],
                nowhere[..., None],
            ),
            dim=-1,
        ).float()
        return RelativeReach(indices[0], indices[1], seat, self.inner.reach(places), places.prefix + 1)

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
        held: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Attend as the attention underneath does, with scores that know the displacement; see `Attention.forward`."""
        assert isinstance(reach, RelativeReach), "relative signals need to know the places"
        query, said = self.say(query, reach)
        seat = reach.seat.to(said.dtype)  # (b, t, h + w + 1)
        seat = present(seat.transpose(1, 2), keys.shape[2], reach.opened).transpose(1, 2)[:, None]
        if isinstance(self.inner, DenseAttention) and query.shape[2] < keys.shape[2]:
            added = said @ seat.transpose(-1, -2) * query.shape[-1] ** -0.5  # few rows on top of a cache
            visible = reach.inner.visible if isinstance(reach.inner, DenseReach) else None
            if visible is None and query.shape[2] > 1:
                visible = torch.ones(added.shape[-2:], dtype=torch.bool, device=added.device).tril(
                    keys.shape[2] - query.shape[2]
                )
            if visible is not None:
                added = added.masked_fill(~visible, -torch.inf)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=added)
        # The width that scores are divided by the root of grows: make up for it. Kernels want a multiple of 8.
        width = query.shape[-1]
        features = -(-(width + said.shape[-1]) // 8) * 8
        query = torch.cat((query, said), dim=-1) * (features / width) ** 0.5

        def wide(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            keys = torch.cat((keys, seat.expand(*keys.shape[:3], -1)), dim=-1)
            return _filled(keys, features), _filled(values, features)

        told = {} if held is None else {"held": wide(*held)}
        mixed: Tensor = self.inner(_filled(query, features), *wide(keys, values), reach.inner, **told)
        return mixed[..., :width]

    def say(
        self, query: Float[Tensor, "b heads m e"], reach: RelativeReach
    ) -> tuple[Float[Tensor, "b heads m e"], Float[Tensor, "b heads m seats"]]:
        """Score every row and every column of the grid, and the start.

        Args:
            query: (b, heads, m, e).
            reach: of the same rows.

        Returns:
            The query as it meets the content of keys, and (b, heads, m, h + w + 1) scores.
        """
        assert self.built is not None, "a layer's attention is the one that `layer` made"
        query, down, across = self.built(query)
        index_shape = (*query.shape[:3], -1)
        down = down.gather(-1, reach.down[:, None].expand(index_shape))
        across = across.gather(-1, reach.across[:, None].expand(index_shape))
        start = down[..., -1:] + across[..., -1:]
        return query, torch.cat((down[..., :-1], across[..., :-1], start), dim=-1).to(query.dtype)


def _filled(tensor: Float[Tensor, "*batch e"], features: int) -> Float[Tensor, "*batch features"]:
    return F.pad(tensor, (0, features - tensor.shape[-1]))
