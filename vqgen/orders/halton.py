"""Halton's low-discrepancy points, as an order of cells."""

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor


def halton(height: int, width: int) -> Int64[Tensor, "n"]:
    """Cells as the Halton points 1, 2, 3... fall into them, evenly spread at every step; later hits are passed over.

    Point i lies at the radical inverse of i in base 2 (down the height) and in base 3 (along the width): i's digits
    read backwards behind the point. The first is (1/2, 1/3).

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> halton(2, 3).tolist()
        [4, 2, 3, 1, 5, 0]

    Source:
        Halton, Numerische Mathematik 2, 1960; as an order of image tokens: Besnier et al., arXiv:2503.17076.
    """
    cell_count = height * width
    point_count = 4 * cell_count
    while True:
        points = np.arange(1, point_count + 1)
        cells = _scaled_radical_inverse(points, 2, height) * width + _scaled_radical_inverse(points, 3, width)
        _, first_hits = np.unique(cells, return_index=True)
        if len(first_hits) == cell_count:
            return torch.from_numpy(cells[np.sort(first_hits)])
        point_count *= 2  # the points are dense in the unit square, so this ends


def _scaled_radical_inverse(points: NDArray[np.int64], base: int, size: int) -> NDArray[np.int64]:
    """Floor of the radical inverse times `size`, in whole numbers so that no rounding moves a cell."""
    backwards, scale = np.zeros_like(points), 1
    remaining = points
    while remaining.any():
        remaining, digit = np.divmod(remaining, base)
        backwards = backwards * base + digit
        scale *= base
    return backwards * size // scale
