"""What a pattern makes of the places of a pass: a mask, blocks, or, for one row on top of a cache, the rows to read."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.base import Places, Reach
from vqgen.attention.block_sparse import BlockPlan, block_attention
from vqgen.attention.flex import FlexPlan, flex_pattern_attention, flex_serves
from vqgen.attention.kernel import choose_kernel
from vqgen.attention.neighbours import Neighbours, neighbours_of
from vqgen.attention.predicate import Predicate


@dataclass(frozen=True)
class RowReach(Reach):
    """The rows of a cache that one row reads.

    Attributes:
        rows: (b, u), or (1, u) for an order that all images share.
        there: likewise, which of them are there; None for all.
    """

    rows: Int[Tensor, "b u"]
    there: Bool[Tensor, "b u"] | None

    def cut(self, first: int, count: int) -> "RowReach":
        """One row is all there is."""
        return self

    def attend(
        self,
        query: Float[Tensor, "b heads 1 e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        *,
        training: bool,
    ) -> Float[Tensor, "b heads 1 e"]:
        """Attend to these rows of the keys and values."""
        if len(self.rows) == 1:
            keys, values = keys.index_select(2, self.rows[0]), values.index_select(2, self.rows[0])
        else:
            index = self.rows[:, None, :, None].expand(-1, keys.shape[1], -1, keys.shape[3])
            keys, values = keys.gather(2, index), values.gather(2, index)
        mask = None if self.there is None else self.there[:, None, None]
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)


class PatternReach(Reach):
    """The reach of a pass; each form of it is made when it is first asked for, and then serves all layers.

    Args:
        pattern: which pairs may meet.
        places: of the pass.
    """

    def __init__(self, pattern: Predicate, places: Places) -> None:
        self.pattern = pattern
        self.places = places

    def cut(self, first: int, count: int) -> Reach:
        """One row reads what it sees; several go through a mask; all of them stay what they are."""
        if count == self.places.target.shape[1]:
            return self
        if count == 1 and first >= self.places.prefix:
            return RowReach(*self.neighbours.at(first))
        return PatternReach(self.pattern, self.places.cut(first, count))

    def attend(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        *,
        training: bool,
    ) -> Float[Tensor, "b heads m e"]:
        """Attend with the kernel that is chosen for such a pass."""
        kernel = "masked"
        if self.whole:
            kernel = self.pattern.kernel or choose_kernel(query.device, training=training, steps=query.shape[2])
        if kernel == "flex" and flex_serves(query):
            return flex_pattern_attention(query, keys, values, self.flex)
        if kernel != "masked":
            return block_attention(query, keys, values, self.blocks)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=self.mask)

    @property
    def whole(self) -> bool:
        """Whether the pass visits every cell of the grid, one after the other: then blocks can be laid out."""
        places = self.places
        rows = places.prefix + places.height * places.width
        return places.visible is None and places.first == 0 and places.target.shape[1] == rows

    @cached_property
    def mask(self) -> Bool[Tensor, "b 1 m t"]:
        """(b, 1, m, t), or (1, 1, m, t) for an order that all images share: which keys each row sees."""
        places, pattern = self.places, self.pattern
        if pattern.space == "cells":
            query, key = places.target[:, :, None], places.content[:, None]
        else:
            query, key = places.target_steps[None, :, None], places.content_steps[None, None]
        allowed = pattern.allowed(query, key, height=places.height, width=places.width)
        start = places.content_steps < 0
        return (places.before & (start | allowed))[:, None]

    @cached_property
    def blocks(self) -> BlockPlan:
        """Where the rows of the pattern's blocks are under this order."""
        return BlockPlan.of(self.pattern, self.places)

    @cached_property
    def flex(self) -> FlexPlan:
        """What FlexAttention needs to know."""
        return FlexPlan.of(self.pattern, self.places)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The rows that each step reads from a cache."""
        return neighbours_of(self.pattern, self.places)
