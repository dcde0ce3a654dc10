"""What an attention is: how the queries of one layer meet the keys, told once per pass where everything sits."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention.cache import LayerCache
from vqgen.attention.dense import dense_causal_attention


class Reach(ABC):
    """What one attention made of the places of a pass; only that attention looks into it."""

    @abstractmethod
    def cut(self, first: int, count: int) -> "Reach":
        """Take the part that some rows need when they come on top of a cache.

        Args:
            first: the first of these rows; those before it are in the cache.
            count: how many.

        Returns:
            The reach of rows ``first .. first + count - 1`` over the keys of rows ``0 .. first + count - 1``.
        """


@dataclass(frozen=True)
class Places(Reach):
    """Where the rows of a pass sit: m new rows, which ask, on top of t - m rows of a cache.

    A row holds the code of its content cell and predicts the code of its target cell. A leading size of 1 stands for an
    order that all images share. Rows that hold no code, the start and whatever a condition puts before it, have content
    -1; rows that predict no code have target -1.

    Attributes:
        target: (b, m) or (1, m) raster index of the cell that each new row predicts.
        content: (b, t) or (1, t) raster index of the cell that each row's content sits in, -1 for none.
        first: index of the first new row, t - m.
        height: rows of the grid, h.
        width: columns of the grid, w.
        visible: (m, t) which rows come before each new row, where that is not simply itself and those before it.
        step: (m,) the step of the order at which each new row's target is visited; None for rows that stand for one
            step each, from step ``first`` on.
        content_step: (t,) the step at which each row's content was visited, -1 for none; None for -1, 0, 1, ...
        prefix: rows that a condition puts before the start.

    Example:
        >>> import torch
        >>> order = torch.tensor([[2, 0, 3, 1]])
        >>> whole = Places(target=order, content=torch.tensor([[-1, 2, 0, 3]]), first=0, height=2, width=2)
        >>> last = whole.cut(3, 1)
        >>> last.target.tolist(), last.content.tolist(), last.first
        ([[1]], [[-1, 2, 0, 3]], 3)
    """

    target: Int[Tensor, "b m"]
    content: Int[Tensor, "b t"]
    first: int
    height: int
    width: int
    visible: Bool[Tensor, "m t"] | None = None
    step: Int[Tensor, " m"] | None = None
    content_step: Int[Tensor, " t"] | None = None
    prefix: int = 0

    @property
    def target_steps(self) -> Int[Tensor, " m"]:
        """(m,) the step at which each new row's target is visited."""
        if self.step is not None:
            return self.step
        return torch.arange(self.first, self.first + self.target.shape[1], device=self.target.device)

    @property
    def content_steps(self) -> Int[Tensor, " t"]:
        """(t,) the step at which each row's content was visited; -1 for none."""
        if self.content_step is not None:
            return self.content_step
        return torch.arange(-1, self.content.shape[1] - 1, device=self.content.device)

    @property
    def before(self) -> Bool[Tensor, "m t"]:
        """(m, t) which rows come before each new row, or are it."""
        if self.visible is not None:
            return self.visible
        rows, keys = self.target.shape[1], self.content.shape[1]
        return torch.ones(rows, keys, dtype=torch.bool, device=self.target.device).tril(diagonal=self.first)

    def cut(self, first: int, count: int) -> "Places":
        """Take the places of some rows of a whole order, on top of those before them; see `Reach.cut`."""
        assert self.first == 0, "only the places of a whole order can be cut"
        stop = first + count
        return replace(
            self,
            target=self.target[:, first:stop],
            content=self.content[:, :stop],
            first=first,
            visible=None if self.visible is None else self.visible[first:stop, :stop],
            step=None if self.step is None else self.step[first:stop],
            content_step=None if self.content_step is None else self.content_step[:stop],
        )

    def asking(self, first: int, kept: Int[Tensor, " m"] | None, visible: Bool[Tensor, "m t"]) -> "Places":
        """Take rows from some row on, on top of those before them, where they do not simply follow each other.

        Args:
            first: the first of them; the rows before it are in the cache.
            kept: (m,) which of them to take, counted from the first; None for all.
            visible: (m, t) which rows come before each of them.

        Returns:
            The places of the pass.
        """
        step, content_step = self.target_steps[first:], self.content_steps
        target, content = self.target[:, first:], self.content
        if kept is not None:
            rows = torch.cat((torch.arange(first, device=kept.device), first + kept))
            target, content = target.index_select(1, kept), content.index_select(1, rows)
            step, content_step = step[kept], content_step[rows]
        return Places(target, content, first, self.height, self.width, visible, step, content_step, self.prefix)


class Attention(nn.Module, ABC):
    """Base of every attention: how the queries of a layer meet the keys that they may see.

    A prior asks its attentions once per pass what they make of the places, and hands that to each of their layers. An
    attention keeps every constructor argument as an attribute of the same name and holds no parameters; one that learns
    something builds what a layer learns in `layer`.

    Attributes:
        shared_query_key: whether keys are the same projection of a row as its query; the layer then learns one of them.
        one_row_a_step: whether it counts on every row standing for one step, which signals of two rows a step break.
        remembers: whether rows see some others as they are held fixed, without a gradient; `forward` then takes, as
            ``held``, the keys and values made from hidden states that no gradient reaches.
    """

    shared_query_key: ClassVar[bool] = False
    one_row_a_step: ClassVar[bool] = True
    remembers: bool = False

    def layer(self, *, dim: int, heads: int, height: int, width: int) -> "Attention":
        """Make the attention of one layer: itself, unless it learns something.

        Args:
            dim: width of the prior, d.
            heads: attention heads.
            height: rows of the grid, h.
            width: columns of the grid, w.

        Returns:
            A module that takes the reach that this one makes.
        """
        return self

    def layer_cache(
        self, sizes: tuple[int, int, int, int], *, prefix: int, dtype: torch.dtype, device: torch.device
    ) -> LayerCache:
        """Make an empty cache for one layer.

        Args:
            sizes: (b, heads, rows, e) of the keys when all rows are kept.
            prefix: how many of the rows a condition puts before the start.
            dtype: of the stored keys and values.
            device: where they are stored.

        Returns:
            A cache that keeps at least what may still be looked at.
        """
        return LayerCache(*(torch.empty(sizes, dtype=dtype, device=device) for _ in range(2)))

    def reach(self, places: Places) -> Reach:
        """Work out, once for all layers of a pass, what they need to know of the places.

        Args:
            places: of a pass, or of a whole order that will be cut.

        Returns:
            What `forward` takes; the places themselves unless an attention says otherwise.
        """
        return places

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Mix, for each of the newest m rows, the values of the rows it may see.

        Args:
            query: (b, heads, m, e) queries of the newest m rows.
            keys: (b, heads, t, e) keys of all t >= m rows.
            values: (b, heads, t, e) values of the same rows.
            reach: what `reach` made of their places.

        Returns:
            (b, heads, m, e) one mixture of values per query.
        """


@dataclass(frozen=True)
class DenseReach(Reach):
    """Which rows come before each of the new ones.

    Attributes:
        visible: (m, t), or None for a pass whose rows follow each other.
    """

    visible: Bool[Tensor, "m t"] | None = None

    def cut(self, first: int, count: int) -> "DenseReach":
        """The same for these rows; see `Reach.cut`."""
        return self if self.visible is None else DenseReach(self.visible[first : first + count, : first + count])


class DenseAttention(Attention):
    """Every row sees itself and all rows before it: what a prior does unless it is told otherwise.

    Example:
        >>> import torch
        >>> values = torch.arange(3.0).reshape(1, 1, 3, 1)
        >>> DenseAttention()(torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1), values).flatten()  # running means
        tensor([0.0000, 0.5000, 1.0000])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.2.1.
    """

    one_row_a_step = False

    def reach(self, places: Places) -> DenseReach:
        """Keep the mask of a pass that has one."""
        return DenseReach(places.visible)

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """See `dense_causal_attention`."""
        visible = reach.visible if isinstance(reach, DenseReach) else None
        return dense_causal_attention(query, keys, values, visible)


class BidirectionalAttention(Attention):
    """Every row sees every row, as in an encoder or a masked prior; it fits no prior that predicts step by step.

    Example:
        >>> import torch
        >>> values = torch.arange(3.0).reshape(1, 1, 3, 1)
        >>> BidirectionalAttention()(torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1), values).flatten()
        tensor([1., 1., 1.])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.2.3, the encoder.
    """

    one_row_a_step = False

    def reach(self, places: Places) -> DenseReach:
        """Keep the mask of a pass that has one."""
        return DenseReach(places.visible)

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Attend to all keys, or, where the reach has a mask, to those that it shows."""
        visible = reach.visible if isinstance(reach, DenseReach) else None
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
