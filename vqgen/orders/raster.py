"""Plain reading orders: rows, rows backwards, columns."""

import torch
from jaxtyping import Int64
from torch import Tensor


def raster(height: int, width: int) -> Int64[Tensor, "n"]:
    """Rows from top to bottom, each from left to right: the way text is read.

    The step of cell (row, column) is ``row * width + column``, so positions count up from zero.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> raster(2, 3).tolist()
        [0, 1, 2, 3, 4, 5]
    """
    return torch.arange(height * width)


def raster_reverse(height: int, width: int) -> Int64[Tensor, "n"]:
    """Raster backwards: from the bottom right corner leftwards, rows from bottom to top.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> raster_reverse(2, 3).tolist()
        [5, 4, 3, 2, 1, 0]
    """
    return raster(height, width).flip(0)


def column(height: int, width: int) -> Int64[Tensor, "n"]:
    """Columns from left to right, each from top to bottom.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> column(2, 3).tolist()
        [0, 3, 1, 4, 2, 5]
    """
    return torch.arange(height * width).reshape(height, width).T.flatten()
