"""Groups of cells to decode together: far from each other, near to what is known."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from vqgen.orders.permutation import check_grid

_DIAGONAL = 1 / np.sqrt(2)  # what a known diagonal neighbour counts; a neighbour above, below or beside counts 1


def locality_groups(
    height: int, width: int, sizes: Sequence[int], *, seed: int = 0, proximity: float = 1.0, repulsion: int = 2
) -> Int64[Tensor, "n"]:
    """Order the cells so that consecutive groups can be decoded together: spread out, each beside known cells.

    Cells of one group are drawn without knowledge of each other, so they should be far apart; and what is known near a
    cell says most about it. Each group is therefore chosen in two passes:

    1. Cells come by falling proximity, the sum of 1 / distance over the known among their eight neighbours, equal ones
       at random. Those of at least `proximity` are taken, but for those within `repulsion` of one already in the group.
    2. If the group is not full, it takes the cell farthest from its own cells, again and again.

    The first group has nothing known: a random cell, and then the farthest ones.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        sizes: cells in each group, >= 1 each, height * width together.
        seed: of the first cell and of ties, in [0, 2 ** 32); the same on every machine.
        proximity: what a cell's known neighbours must add up to for the first pass, >= 0; 1 is one beside it or two at
            its corners.
        repulsion: rows and columns within which the first pass takes no second cell of a group, >= 0; 0 keeps all.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width: group after group.

    Raises:
        ValueError: if the grid is empty, the sizes do not add up to its cells, or an argument is out of range.

    Example:
        >>> locality_groups(4, 4, [1, 3, 4, 8], seed=1)[:4].tolist()
        [3, 7, 12, 0]

    Source:
        Zhang et al., Locality-aware Parallel Decoding, arXiv:2507.01957, section 2.3, algorithm 1 (repulsion 2 for 20
        or 32 steps on 16 x 16 cells, 4 for 48 steps on 32 x 32).
    """
    check_grid(height, width)
    if any(size < 1 for size in sizes) or sum(sizes) != height * width:
        raise ValueError(
            f"sizes must be >= 1 and add up to the {height * width} cells of {height} x {width}, got {list(sizes)}, "
            f"which add up to {sum(sizes)}; give the size of every group"
        )
    if proximity < 0 or repulsion < 0 or not 0 <= seed < 2**32:
        raise ValueError(
            "proximity and repulsion must be >= 0 and seed in [0, 2**32), got "
            f"proximity={proximity}, repulsion={repulsion}, seed={seed}"
        )
    random = np.random.RandomState(seed)  # its stream is frozen, as in random_permutation
    cells = np.stack(np.divmod(np.arange(height * width), width), axis=1)  # n 2: row and column
    nearness = np.zeros((height + 2, width + 2))  # of each cell to what is known, with a margin
    unknown = np.ones(height * width, dtype=bool)
    visits: list[int] = []
    for size in sizes:
        shuffled = random.permutation(np.flatnonzero(unknown))
        near = nearness[1:-1, 1:-1].flatten()
        by_proximity = shuffled[np.argsort(-near[shuffled], kind="stable")]
        group: list[int] = []
        for cell in by_proximity[near[by_proximity] >= proximity] if visits else by_proximity[:1]:
            if len(group) < size and _is_apart(cells[cell], cells[group], repulsion):
                group.append(int(cell))
        group += _farthest(cells, group, by_proximity[~np.isin(by_proximity, group)], size - len(group))
        for row, col in cells[group]:
            nearness[row : row + 3, col : col + 3] += [[_DIAGONAL, 1, _DIAGONAL], [1, 0, 1], [_DIAGONAL, 1, _DIAGONAL]]
        unknown[group] = False
        visits += group
    return torch.tensor(visits, dtype=torch.int64)


def _is_apart(cell: NDArray[np.int64], group: NDArray[np.int64], repulsion: int) -> bool:
    """Whether a cell is more than `repulsion` rows or columns from every cell of a group."""
    return bool((np.abs(group - cell).max(axis=1, initial=0) > repulsion).all()) if repulsion else True


def _farthest(cells: NDArray[np.int64], group: Sequence[int], candidates: NDArray[np.int64], count: int) -> list[int]:
    """The candidate farthest from the group, then the one farthest from group and it, and so on; first of equals."""
    if count == 0:
        return []
    distance = np.full(len(candidates), np.inf)
    for cell in group:
        distance = np.minimum(distance, _squared_distance(cells[candidates], cells[cell]))
    chosen: list[int] = []
    for _ in range(count):
        best = int(np.argmax(distance))
        chosen.append(int(candidates[best]))
        distance = np.minimum(distance, _squared_distance(cells[candidates], cells[candidates[best]]))
        distance[best] = -1  # taken
    return chosen


def _squared_distance(cells: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.float64]:
    return ((cells - cell) ** 2).sum(axis=1).astype(np.float64)
