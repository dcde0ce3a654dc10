"""Rectangular spirals between the top left corner and the middle."""

import torch
from jaxtyping import Int64
from torch import Tensor


def spiral_in(height: int, width: int) -> Int64[Tensor, "n"]:
    """Clockwise spiral from the top left corner, rightwards first, inwards to the middle.

    Every step is a unit step.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> spiral_in(3, 3).tolist()
        [0, 1, 2, 5, 8, 7, 6, 3, 4]
    """
    remaining = torch.arange(height * width).reshape(height, width)
    sides = []
    while remaining.numel():
        sides.append(remaining[0])
        # A quarter turn to the left brings the next side, walked clockwise, to the top, from left to right.
        remaining = torch.rot90(remaining[1:])
    return torch.cat(sides)


def spiral_out(height: int, width: int) -> Int64[Tensor, "n"]:
    """Counter-clockwise spiral from the middle outwards to the top left corner: spiral-in backwards.

    Every step is a unit step. A square of even side begins in the lower left of the four middle cells and goes right,
    up, left, down; one of odd side begins in the middle and goes left, down, right, up. The last side is the top row.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> spiral_out(3, 3).tolist()
        [4, 3, 6, 7, 8, 5, 2, 1, 0]
    """
    return spiral_in(height, width).flip(0)
