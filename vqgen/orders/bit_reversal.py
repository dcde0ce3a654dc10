"""Bit reversal: a coarse lattice first, then finer and finer ones."""

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.morton import bits_of_side, interleave_bits


def bit_reversal(height: int, width: int) -> Int64[Tensor, "n"]:
    """Coarse to fine from the top left corner: every lattice of spacing 2^m before the lattice of half the spacing.

    Cells come by the Morton code of (row, column) with its bits read backwards. On 16 x 16 the first steps are (0, 0),
    (0, 8), (8, 0), (8, 8), (0, 4): after 4 ** m steps exactly the lattice of spacing 16 / 2 ** m is known. A grid that
    is not a square power of two takes the order of the smallest such square about it and leaves out the missing cells.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> bit_reversal(4, 4).tolist()
        [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]
    """
    bits = bits_of_side(height, width)
    row = _reverse_bits(torch.arange(height), bits)[:, None]
    col = _reverse_bits(torch.arange(width), bits)[None, :]
    return torch.argsort(interleave_bits(row, col, bits).flatten())


def _reverse_bits(numbers: Int64[Tensor, "m"], bits: int) -> Int64[Tensor, "m"]:
    """Read the lowest `bits` bits of every number backwards."""
    reverse = torch.zeros_like(numbers)
    for bit in range(bits):
        reverse |= (numbers >> bit & 1) << (bits - 1 - bit)
    return reverse
