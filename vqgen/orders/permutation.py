"""Checks that an order visits every cell of its grid exactly once."""

from collections import Counter

import torch
from jaxtyping import Shaped
from torch import Tensor


def check_grid(height: int, width: int) -> None:
    """Refuse an empty grid.

    Args:
        height: rows of the grid.
        width: columns of the grid.

    Raises:
        ValueError: if either is below 1.

    Example:
        >>> check_grid(1, 1)
    """
    if height < 1 or width < 1:
        raise ValueError(
            f"height and width of the code grid must be >= 1, got height={height}, width={width}; "
            "pass the number of cells each way"
        )


def check_permutation(positions: Shaped[Tensor, "..."], *, name: str, height: int, width: int) -> None:
    """Refuse positions that do not visit every cell of the grid exactly once, and say what is wrong.

    Args:
        positions: what should be the raster index visited at each step.
        name: what the order is called, for the message.
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Raises:
        TypeError: if positions are not integers.
        ValueError: if they are not a permutation of 0 .. height * width - 1.

    Example:
        >>> check_permutation(torch.tensor([1, 0]), name="mine", height=1, width=2)
    """
    advice = "return each raster index row * width + column exactly once, in the order of the visits"
    cell_count = height * width
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise TypeError(f"order {name!r} must give integers, got {positions.dtype}; {advice}")
    if positions.ndim != 1:
        raise ValueError(
            f"order {name!r} must give one raster index per step, shape ({cell_count},) on {height} x {width}, "
            f"got shape {tuple(positions.shape)}; {advice}"
        )
    visits, cells = Counter(positions.tolist()), set(range(cell_count))
    faults = []
    if outside := sorted(visits.keys() - cells):
        faults.append(f"{_shortened(outside)} outside 0..{cell_count - 1}")
    if repeated := sorted(cell for cell in visits.keys() & cells if visits[cell] > 1):
        faults.append(f"{_shortened(repeated)} more than once")
    if never := sorted(cells - visits.keys()):
        faults.append(f"{_shortened(never)} never")
    if faults:
        raise ValueError(
            f"order {name!r} is not a permutation of the {cell_count} cells of {height} x {width}: it visits "
            f"{', '.join(faults)}; {advice}"
        )


def _shortened(cells: list[int]) -> str:
    shown = ", ".join(map(str, cells[:5]))
    return shown if len(cells) <= 5 else f"{shown} and {len(cells) - 5} others"
