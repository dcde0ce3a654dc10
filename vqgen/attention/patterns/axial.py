"""Axial attention: a cell sees its row, or its column."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.arrangement import strided
from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class RowAttention(Pattern):
    """A query sees the cells of its row: ``floor(query / w) = floor(key / w)``.

    Alone, nothing ever passes from row to row; alternate it with `ColumnAttention` over the layers.

    Args:
        kernel: see `Pattern`.

    Example:
        >>> RowAttention().table(height=2, width=3)[1].view(2, 3).int()
        tensor([[1, 1, 1],
                [0, 0, 0]], dtype=torch.int32)

    Source: Ho et al., Axial Attention in Multidimensional Transformers (1912.12180), section 2.1; Ramesh et al.,
    Zero-Shot Text-to-Image Generation (2102.12092), appendix B.1, "row attention".
    """

    def __init__(self, *, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys of the same row."""
        return query // width == key // width

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Rows are the blocks."""
        (part,) = super().parts(height=height, width=width)
        return (Part(part.allowed, torch.arange(height * width), block=min(width, 128)),)


class ColumnAttention(Pattern):
    """A query sees the cells of its column: ``query mod w = key mod w``.

    Alone, nothing ever passes from column to column; alternate it with `RowAttention` over the layers.

    Args:
        kernel: see `Pattern`.

    Example:
        >>> ColumnAttention().table(height=2, width=3)[1].view(2, 3).int()
        tensor([[0, 1, 0],
                [0, 1, 0]], dtype=torch.int32)

    Source: Ho et al., Axial Attention in Multidimensional Transformers (1912.12180), section 2.1; Ramesh et al.,
    Zero-Shot Text-to-Image Generation (2102.12092), appendix B.1, "column attention".
    """

    def __init__(self, *, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys of the same column."""
        return query % width == key % width

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Columns are the blocks."""
        (part,) = super().parts(height=height, width=width)
        return (Part(part.allowed, strided(height * width, stride=width), block=min(height, 128)),)
