"""The Hilbert curve, generalised to every rectangle."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

Cell = tuple[int, int]  # row, column; also a unit vector on the grid


def hilbert(height: int, width: int) -> Int64[Tensor, "n"]:
    """Hilbert curve by quarters, from the top left corner to the top right one (to the bottom left one on tall grids).

    A rectangle is cut into two across its length when it is long, and otherwise into three: there along one half,
    across the whole, back along the other half; each part is cut again. On a square whose side is a power of two this
    is the classical curve, which ends top right. Parts keep even sides where they can, because only then can a walk
    with unit steps end in the corner where the next part begins. A long side that is odd beside an even short side
    rules such an end out; there the last part is walked along its other side, as nothing begins where it ends.

    So **every step is a unit step, on every grid**. The end is the other corner of the side walked along: top right
    on a wide grid or a square, bottom left on a tall one. Only where the longer side is odd and the shorter one even
    is it another cell.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Example:
        >>> hilbert(4, 4).tolist()
        [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3]

    Source:
        Hilbert, Mathematische Annalen 38, 1891. The cutting of rectangles follows the idea of Cerveny's generalised
        ("gilbert") curve, which makes one diagonal step where a longer odd side meets a shorter even one.
    """
    right, down = (0, 1), (1, 0)
    if width >= height:
        cells = _walk_to_any_end((0, 0), right, width, down, height)
    else:
        cells = _walk_to_any_end((0, 0), down, height, right, width)
    return torch.tensor([row * width + col for row, col in cells])


def _walk_to_any_end(start: Cell, along: Cell, length: int, across: Cell, breadth: int) -> Iterator[Cell]:
    """Walk a rectangle from a corner with unit steps, wherever that ends."""
    if length < breadth:
        along, length, across, breadth = across, breadth, along, length
    if length % 2 == 0 or breadth % 2 == 1:
        yield from _walk_along(start, along, length, across, breadth)
    elif _is_long(length, breadth):
        front = _even_half(length)
        yield from _walk_along(start, along, front, across, breadth)
        yield from _walk_to_any_end(_move(start, along, front), along, length - front, across, breadth)
    else:
        yield from _walk_along(start, across, breadth, along, length)


def _walk_along(start: Cell, along: Cell, length: int, across: Cell, breadth: int) -> Iterator[Cell]:
    """Walk a rectangle from the corner `start` to the corner at the end of the side `along`."""
    if breadth == 1:
        yield from (_move(start, along, step) for step in range(length))
    elif length == 1:
        yield from (_move(start, across, step) for step in range(breadth))
    elif _is_long(length, breadth):
        front = _even_half(length)
        yield from _walk_along(start, along, front, across, breadth)
        yield from _walk_along(_move(start, along, front), along, length - front, across, breadth)
    else:
        near, half = _even_half(breadth), length // 2
        turning_point = _move(_move(start, along, length - 1), across, near - 1)
        yield from _walk_along(start, across, near, along, half)
        yield from _walk_along(_move(start, across, near), along, length, across, breadth - near)
        yield from _walk_along(turning_point, _opposite(across), near, _opposite(along), length - half)


def _is_long(length: int, breadth: int) -> bool:
    return 2 * length > 3 * breadth


def _even_half(length: int) -> int:
    half = length // 2
    return half + half % 2 if length > 2 else half


def _move(cell: Cell, direction: Cell, distance: int) -> Cell:
    return cell[0] + distance * direction[0], cell[1] + distance * direction[1]


def _opposite(direction: Cell) -> Cell:
    return -direction[0], -direction[1]
