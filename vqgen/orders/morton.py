"""Morton order (the Z curve): cells by their interleaved row and column bits."""

import torch
from jaxtyping import Int64
from torch import Tensor


def morton(height: int, width: int) -> Int64[Tensor, "n"]:
    """Z curve from the top left corner: top left, top right, bottom left, bottom right quarter, each in the same way.

    Cells come by the Morton code of (row, column), in which the column has the lower bit of every pair. A grid that is
    not a square power of two takes the curve of the smallest such square about it and leaves out the missing cells.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> morton(4, 4).tolist()
        [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]

    Source:
        Morton, "A computer oriented geodetic data base and a new technique in file sequencing", IBM, 1966.
    """
    bits = bits_of_side(height, width)
    codes = interleave_bits(torch.arange(height)[:, None], torch.arange(width)[None, :], bits)
    return torch.argsort(codes.flatten())


def bits_of_side(height: int, width: int) -> int:
    """Say how many bits number the lines of the smallest square power of two that covers the grid.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        The least m with 2 ** m >= max(height, width).

    Example:
        >>> bits_of_side(5, 8)
        3
    """
    return (max(height, width) - 1).bit_length()


def interleave_bits(high: Int64[Tensor, "*h"], low: Int64[Tensor, "*w"], bits: int) -> Int64[Tensor, "..."]:
    """Weave two numbers' bits into one: high bit, low bit, next high bit, next low bit...

    Args:
        high: numbers >= 0 that take the upper bit of each pair, any shape that broadcasts with ``low``.
        low: numbers >= 0 that take the lower bit of each pair.
        bits: how many bits of each to take, at most 31.

    Returns:
        The woven numbers, in the broadcast shape.

    Example:
        >>> interleave_bits(torch.tensor([0b10]), torch.tensor([0b11]), bits=2).item() == 0b1101
        True
    """
    woven = torch.zeros_like(high + low)
    for bit in range(bits):
        woven |= ((high >> bit & 1) << 2 * bit + 1) | ((low >> bit & 1) << 2 * bit)
    return woven
