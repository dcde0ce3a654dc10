"""The seven permuters of taming-transformers, cell for cell, with their limits, so that its priors can be used.

Its permuters index a raster sequence by a "forward shuffle index", ``x[:, index]``: that index is what this package
calls positions. Identity is raster, AlternateParsing is snake; the others stand here. Those that are defined on some
grids only refuse the rest, where taming's own code stops or scrambles the codes.

Source: Esser, Rombach, Ommer, "Taming Transformers for High-Resolution Image Synthesis", arXiv:2012.09841, appendix F.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.bit_reversal import bit_reversal
from vqgen.orders.morton import morton
from vqgen.orders.random_permutation import random_permutation


def taming_subsample(height: int, width: int) -> Int64[Tensor, "n"]:
    """Subsample: coarse to fine from the top left corner, for squares whose side is a power of two.

    It is the order bit-reversal.

    Args:
        height: rows of the grid, a power of two.
        width: columns of the grid, the same.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Raises:
        ValueError: if the grid is not a square power of two.

    Example:
        >>> taming_subsample(2, 2).tolist()
        [0, 1, 2, 3]
    """
    if height != width or not _is_power_of_two(height):
        raise ValueError(
            f"taming:subsample is defined on squares whose side is a power of two, got {height} x {width}; "
            "'bit-reversal' is the same order and takes any grid"
        )
    return bit_reversal(height, width)


def taming_zcurve(height: int, width: int) -> Int64[Tensor, "n"]:
    """ZCurve: Morton order from the top left corner, for squares of a power of two (or two of them side by side).

    It is the order morton. Taming takes a cell's Morton code itself for its step, which holds only where the codes
    have no gaps: on h x h and on h x 2h with h a power of two. Elsewhere its way back is not the inverse of its way
    there.

    Args:
        height: rows of the grid, a power of two.
        width: columns of the grid, height or 2 * height.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Raises:
        ValueError: if the grid is of another shape.

    Example:
        >>> taming_zcurve(2, 4).tolist()
        [0, 1, 4, 5, 2, 3, 6, 7]
    """
    if not _is_power_of_two(height) or width not in (height, 2 * height):
        raise ValueError(
            f"taming:zcurve is defined on h x h and h x 2h with h a power of two, got {height} x {width}; "
            "'morton' is the same order and takes any grid"
        )
    return morton(height, width)


def taming_spiral_out(height: int, width: int) -> Int64[Tensor, "n"]:
    """SpiralOut: clockwise from the lower left of the four middle cells, up first, to the bottom right corner.

    Up, right, down and left with sides of 1, 1, 2, 2, 3, 3... steps. Not this package's spiral-out.

    Args:
        height: rows of the grid, even (or 1).
        width: columns of the grid, the same.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Raises:
        ValueError: if the grid is not a square of even side.

    Example:
        >>> taming_spiral_out(4, 4).tolist()
        [9, 5, 6, 10, 14, 13, 12, 8, 4, 0, 1, 2, 3, 7, 11, 15]
    """
    return _spiral_out("taming:spiral-out", height, width)


def taming_spiral_in(height: int, width: int) -> Int64[Tensor, "n"]:
    """SpiralIn: counter-clockwise from the bottom right corner, up first, to the middle: SpiralOut backwards.

    Not this package's spiral-in.

    Args:
        height: rows of the grid, even (or 1).
        width: columns of the grid, the same.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Raises:
        ValueError: if the grid is not a square of even side.

    Example:
        >>> taming_spiral_in(4, 4).tolist()
        [15, 11, 7, 3, 2, 1, 0, 4, 8, 12, 13, 14, 10, 6, 5, 9]
    """
    return _spiral_out("taming:spiral-in", height, width).flip(0)


def taming_random(height: int, width: int) -> Int64[Tensor, "n"]:
    """Random: one random permutation, the same for all: that of seed 1.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> taming_random(2, 3).tolist()
        [2, 1, 4, 0, 3, 5]
    """
    return random_permutation(height, width, seed=1)


def _spiral_out(name: str, height: int, width: int) -> Int64[Tensor, "n"]:
    """Clockwise square spiral from the lower left middle cell, with an error that names the order asked for."""
    if height != width or (height % 2 and height > 1):
        other = name.removeprefix("taming:")
        raise ValueError(
            f"{name} is defined on squares of even side (and 1 x 1), got {height} x {width}; "
            f"{other!r} takes any grid, with another start and direction"
        )
    row, col = height // 2, max(width // 2 - 1, 0)
    cells = [row * width + col]
    for side in range(2 * width - 1):
        row_step, col_step = ((-1, 0), (0, 1), (1, 0), (0, -1))[side % 4]
        for _ in range(side // 2 + 1):
            row, col = row + row_step, col + col_step
            cells.append(row * width + col)
    return torch.tensor(cells[: height * width])  # the last side is one step too long


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
