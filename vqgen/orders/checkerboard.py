"""Checkerboard: half of the cells spread evenly, then the other half between them."""

import torch
from jaxtyping import Int64
from torch import Tensor


def checkerboard(height: int, width: int) -> Int64[Tensor, "n"]:
    """All cells with even row + column in raster order from the top left corner, then all the odd ones likewise.

    Every cell of the second half is visited when all its neighbours are known.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> checkerboard(2, 3).tolist()
        [0, 2, 4, 1, 3, 5]
    """
    row, col = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return torch.argsort(((row + col) % 2).flatten(), stable=True)
