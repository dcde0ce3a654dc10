"""Boustrophedon ("as the ox ploughs"): every other line is walked backwards, so that no step jumps."""

import torch
from jaxtyping import Int64
from torch import Tensor


def snake(height: int, width: int) -> Int64[Tensor, "n"]:
    """Rows from top to bottom, the first to the right, the next to the left, and so on in turn.

    Every step is a unit step. It ends bottom right when the height is odd and bottom left when it is even.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> snake(2, 3).tolist()
        [0, 1, 2, 5, 4, 3]
    """
    cells = torch.arange(height * width).reshape(height, width)
    cells[1::2] = cells[1::2].flip(1)
    return cells.flatten()


def snake_column(height: int, width: int) -> Int64[Tensor, "n"]:
    """Columns from left to right, the first downwards, the next upwards, and so on in turn.

    Every step is a unit step. It ends bottom right when the width is odd and top right when it is even.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> snake_column(2, 3).tolist()
        [0, 3, 4, 1, 2, 5]
    """
    columns = torch.arange(height * width).reshape(height, width).T.clone()
    columns[1::2] = columns[1::2].flip(1)
    return columns.flatten()
