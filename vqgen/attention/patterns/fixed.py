"""Fixed attention: a block of places, and the last places of every block, which sum it up for all others."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class Fixed1D(Pattern):
    """A query at step t sees the contents of its own block of steps, and the last ones of every block before.

    ``floor(t / block) = floor(s / block)`` or ``s mod block >= block - summary``, for ``s < t``. The two factorized
    heads of the paper are merged: each head sees what either would.

    Args:
        block: steps to a block, >= 1; None for the width of the grid.
        summary: places at the end of each block that everyone after it sees, from 1 to the block's size.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> Fixed1D(block=3).table(height=1, width=7)[4].int()
        tensor([0, 0, 1, 1, 1, 1, 0], dtype=torch.int32)

    Source: Child et al., Generating Long Sequences with Sparse Transformers (1904.10509), section 4.2, "fixed
    attention" (l is the block, c the summary), and 4.3, "merged head".
    """

    space = "steps"

    def __init__(self, *, block: int | None = None, summary: int = 1, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        if (block is not None and block < 1) or summary < 1:
            raise ValueError(
                f"block must be >= 1 or None, for the width of the grid, and summary >= 1, got block={block} and "
                f"summary={summary}"
            )
        self.block = block
        self.summary = summary

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys of the same block, and summaries."""
        block = self.block or width
        return (query // block == key // block) | (key % block >= block - self.summary)

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Blocks are dense in themselves, and everyone meets the same summaries."""
        block, summary, places = self.block or width, self.summary, torch.arange(height * width)

        def own(query: Tensor, key: Tensor) -> Tensor:
            return query // block == key // block

        def summaries(query: Tensor, key: Tensor) -> Tensor:
            return (key % block >= block - summary) & (query >= 0)

        return (Part(own, places, block=min(max(block, 16), 128)), Part(summaries, places))


class Fixed(Fixed1D):
    """A query sees the cells of its own block along the raster, and the last cells of every block.

    ``floor(query / block) = floor(key / block)`` or ``key mod block >= block - summary``, of raster indices. With the
    block at the width of the grid, as it is unless told otherwise, that is the cell's row and the last columns.

    Args:
        block: cells to a block, >= 1; None for the width of the grid.
        summary: cells at the end of each block that everyone sees, from 1 to the block's size.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> Fixed().table(height=3, width=4)[5].view(3, 4).int()
        tensor([[0, 0, 0, 1],
                [1, 1, 1, 1],
                [0, 0, 0, 1]], dtype=torch.int32)

    Source: Child et al., Generating Long Sequences with Sparse Transformers (1904.10509), section 4.2.
    """

    space = "cells"
