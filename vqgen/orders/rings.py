"""Round rings about the middle of the grid."""

import math

import torch
from jaxtyping import Int64
from torch import Tensor


def rings(height: int, width: int) -> Int64[Tensor, "n"]:
    """Round rings one cell wide from the centre outwards, each clockwise from twelve o'clock.

    Ring m holds the cells whose distance from the centre of the grid lies in [m, m + 1). Within a ring the cells come
    by their angle.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> rings(3, 3).tolist()
        [4, 1, 2, 5, 8, 7, 6, 3, 0]
    """

    def ring_and_angle(cell: int) -> tuple[int, float]:
        # Twice the offset from the centre is a whole number, which keeps the rings exact on any machine.
        down = 2 * (cell // width) - (height - 1)
        right = 2 * (cell % width) - (width - 1)
        ring = math.isqrt(down**2 + right**2) // 2
        return ring, math.atan2(right, -down) % math.tau

    return torch.tensor(sorted(range(height * width), key=ring_and_angle))
