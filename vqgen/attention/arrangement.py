"""Orders of the places of a grid in which neighbours stay together, to cut into blocks."""

import torch
from jaxtyping import Int
from torch import Tensor


def tiled(height: int, width: int, *, side: int) -> Int[Tensor, " n"]:
    """Arrange cells tile by tile.

    Args:
        height: rows of the grid, h.
        width: columns of the grid, w.
        side: rows and columns of a tile, >= 1; those at the far borders may be smaller.

    Returns:
        (n,) raster indices.

    Example:
        >>> tiled(2, 4, side=2).tolist()
        [0, 1, 4, 5, 2, 3, 6, 7]
    """
    cells = torch.arange(height * width)
    row, column = cells // width, cells % width
    tile = (row // side) * (width // side + 1) + column // side
    return tile.argsort(stable=True)


def strided(places: int, *, stride: int) -> Int[Tensor, " n"]:
    """Arrange places by their remainder, so that those a multiple of the stride apart stand together.

    Args:
        places: n.
        stride: >= 1; the width of a grid for its columns.

    Returns:
        (n,) indices.

    Example:
        >>> strided(6, stride=3).tolist()
        [0, 3, 1, 4, 2, 5]
    """
    return (torch.arange(places) % stride).argsort(stable=True)
