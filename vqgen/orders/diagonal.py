"""Anti-diagonals: all cells with the same row + column, from the top left corner to the bottom right one."""

import torch
from jaxtyping import Int64
from torch import Tensor


def diagonal(height: int, width: int) -> Int64[Tensor, "n"]:
    """Anti-diagonals from the top left corner, each from its top right end down to its bottom left end.

    Cells come in rising order of ``row + column``, then of ``row``. When a cell is visited, everything above it and to
    its left is known.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> diagonal(3, 3).tolist()
        [0, 1, 3, 2, 4, 6, 5, 7, 8]
    """
    row, col = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return torch.argsort(((row + col) * height + row).flatten())


def diagonal_snake(height: int, width: int) -> Int64[Tensor, "n"]:
    """Anti-diagonals from the top left corner in alternate directions, the first move to the right: JPEG's zigzag.

    The diagonals with an odd ``row + column`` run downwards, the even ones upwards, so no step is longer than the
    square root of two.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> diagonal_snake(3, 3).tolist()
        [0, 1, 3, 6, 4, 2, 5, 7, 8]

    Source:
        ITU-T Recommendation T.81 (JPEG), figure A.6.
    """
    row, col = torch.arange(height)[:, None], torch.arange(width)[None, :]
    downwards = (row + col) % 2 == 1
    place_on_diagonal = torch.where(downwards, row, height - 1 - row)
    return torch.argsort(((row + col) * height + place_on_diagonal).flatten())
