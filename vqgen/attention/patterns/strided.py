"""Strided attention: what is near along the raster, and every place a multiple of the stride away."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.arrangement import strided
from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class Strided1D(Pattern):
    """A query at step t sees the contents of the last ``stride`` steps, and those a multiple of the stride away.

    ``t - s <= stride`` or ``(t - s) mod stride = 0``, for ``s < t``. The two factorized heads of the paper are merged:
    each head sees what either would.

    Args:
        stride: >= 1; None for the width of the grid, so that under raster order every layer sees a row and a column.
        kernel: see `Pattern`.

    Raises:
        ValueError: when the stride is below 1.

    Example:
        >>> Strided1D(stride=2).table(height=1, width=5).tril(-1).int()[4]
        tensor([1, 0, 1, 1, 0], dtype=torch.int32)

    Source: Child et al., Generating Long Sequences with Sparse Transformers (1904.10509), section 4.2, "strided
    attention", and 4.3, "merged head".
    """

    space = "steps"

    def __init__(self, *, stride: int | None = None, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        if stride is not None and stride < 1:
            raise ValueError(f"stride must be >= 1 or None, got {stride}; None takes the width of the grid")
        self.stride = stride

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys within the stride, or a multiple of it away."""
        stride = self.stride or width
        return ((query - key).abs() <= stride) | ((query - key) % stride == 0)

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Runs are dense in runs, and remainders in remainders."""
        stride, places = self.stride or width, height * width

        def near(query: Tensor, key: Tensor) -> Tensor:
            return (query - key).abs() <= stride

        def apart(query: Tensor, key: Tensor) -> Tensor:
            return (query - key) % stride == 0

        return (Part(near, torch.arange(places)), Part(apart, strided(places, stride=stride)))


class Strided(Strided1D):
    """A query sees the cells within ``stride`` along the raster, and those a multiple of the stride away.

    ``|query - key| <= stride`` or ``(query - key) mod stride = 0``, of raster indices. With the stride at the width of
    the grid, as it is unless told otherwise, that is the cell's column and a row's length to both sides. Under raster
    order it is `Strided1D`, and under others it means the same cells.

    Args:
        stride: >= 1; None for the width of the grid.
        kernel: see `Pattern`.

    Raises:
        ValueError: when the stride is below 1.

    Example:
        >>> Strided().table(height=3, width=4)[9].view(3, 4).int()
        tensor([[0, 1, 0, 0],
                [0, 1, 1, 1],
                [1, 1, 1, 1]], dtype=torch.int32)

    Source: Child et al., Generating Long Sequences with Sparse Transformers (1904.10509), section 4.2.
    """

    space = "cells"
