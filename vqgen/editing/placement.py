"""Where the window goes from which a prior of a small grid draws the next cells of a large one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from vqgen.orders import ScanOrder

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
FAR = 2**31
"""Distance to an edge beyond which there is nothing."""


@dataclass(frozen=True)
class WindowRun:
    """Cells that are drawn one after the other within one window.

    Attributes:
        top: row of the large grid at which the window begins.
        left: column of the large grid at which it begins.
        context: the known cells in the window, raster indices of the large grid, in the order the prior is told them.
        cells: the cells to draw, raster indices of the large grid, in visiting order.
    """

    top: int
    left: int
    context: tuple[int, ...]
    cells: tuple[int, ...]

    def positions(self, *, large_width: int, width: int) -> Int64[Tensor, " m"]:
        """Raster indices within the window: of the context, then of the cells.

        Args:
            large_width: columns of the large grid.
            width: columns of the window.

        Returns:
            (m,) int64.
        """
        cells = torch.tensor([*self.context, *self.cells], dtype=torch.int64)
        rows, columns = cells // large_width - self.top, cells % large_width - self.left
        return rows * width + columns


class Walk:
    """What is known so far of a large grid, and where the next window goes; `plan_windows` says by which rules.

    Args:
        order: of the large grid.
        height: rows of the window.
        width: columns of the window.
        margin: cells between a drawn cell and the edges of its window; None for a window centred on every cell.
        own: the one order that the prior knows, of the window's size; None if it takes any.
    """

    def __init__(self, order: ScanOrder, height: int, width: int, margin: int | None, own: ScanOrder | None) -> None:
        self.order, self.height, self.width, self.margin, self.own = order, height, width, margin, own
        self.known: Flags = np.zeros((order.height, order.width), dtype=np.bool_)
        self.large_steps: Numbers = order.steps.numpy()
        self.own_steps: Numbers | None = None if own is None else own.steps.numpy()

    def next_run(self, waiting: list[int]) -> WindowRun:
        """Place a window for the first of the cells that wait, and take as many of the next as it can serve.

        Args:
            waiting: raster indices of the cells that come next, at least one; none of them known.

        Returns:
            The run; its cells count as known from now on.

        Raises:
            ValueError: if the prior's own order leaves no window to draw the first cell in.
        """
        tops, lefts = self._placements(waiting[0])
        allowed = (
            np.ones((len(tops), len(lefts)), dtype=np.bool_)
            if self.own is None
            else self._legal(waiting[0], tops, lefts)
        )
        if not allowed.any():
            self._refuse(waiting[0])
        slack = self._slack(waiting[0], tops, lefts)
        least = int(slack[allowed].max())
        alive, length = allowed & (slack == least), 1
        first = self._own_step(waiting[0], tops, lefts)
        for cell in waiting[1:] if self.margin is not None else []:
            still = alive & (self._slack(cell, tops, lefts) >= max(least, 0))
            if first is not None:
                still &= (self._own_step(cell, tops, lefts) == first + length) & self._sees_known(cell, tops, lefts)
            if not still.any():
                break
            alive, length = still, length + 1
        top, left = self._choose(alive, tops, lefts, waiting[0])
        run = WindowRun(top, left, self._context(top, left, waiting[0]), tuple(waiting[:length]))
        self.known.flat[list(run.cells)] = True
        return run

    def _placements(self, cell: int) -> tuple[Numbers, Numbers]:
        """Rows and columns at which a window that holds the cell can begin."""
        row, column = divmod(cell, self.order.width)
        tops = self._starts(row, self.order.height, self.height)
        lefts = self._starts(column, self.order.width, self.width)
        return tops, lefts

    def _starts(self, place: int, large: int, size: int) -> Numbers:
        if self.margin is None and self.own is None:
            return np.array([min(max(place - size // 2, 0), large - size)])
        return np.arange(max(0, place - size + 1), min(place, large - size) + 1)

    def _slack(self, cell: int, tops: Numbers, lefts: Numbers) -> Numbers:
        """Cells between a cell and the nearest edge of each window that is not the grid's; negative outside."""
        row, column = divmod(cell, self.order.width)
        vertical = _distance(row, tops, self.height, self.order.height)
        horizontal = _distance(column, lefts, self.width, self.order.width)
        found: Numbers = np.minimum(vertical[:, None], horizontal[None, :])
        return np.minimum(found, max(self.height, self.width) if self.margin is None else self.margin)

    def _own_step(self, cell: int, tops: Numbers, lefts: Numbers) -> Numbers | None:
        """The step at which the prior's own order visits a cell of each window; -1 outside."""
        if self.own_steps is None:
            return None
        row, column = divmod(cell, self.order.width)
        rows, columns = (row - tops)[:, None], (column - lefts)[None, :]
        inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
        return np.where(inside, self.own_steps[np.where(inside, rows * self.width + columns, 0)], -1)

    def _legal(self, cell: int, tops: Numbers, lefts: Numbers) -> Flags:
        """Windows in which the prior's own order comes to this cell next, and has seen its known neighbours."""
        assert self.own is not None
        views = np.lib.stride_tricks.sliding_window_view(self.known, (self.height, self.width))
        windows = views[np.ix_(tops, lefts)].reshape(len(tops), len(lefts), -1)  # t l n
        beginning = windows[..., self.own.positions.numpy()].argmin(axis=-1)  # t l, how many known cells come first
        next_one: Flags = beginning == self._own_step(cell, tops, lefts)
        return next_one & self._sees_known(cell, tops, lefts)

    def _sees_known(self, cell: int, tops: Numbers, lefts: Numbers) -> Flags:
        """Windows in which the prior's own order has visited the known neighbours of a cell before it."""
        step = self._own_step(cell, tops, lefts)
        assert step is not None
        seen_all: Flags = np.ones(step.shape, dtype=np.bool_)
        row, column = divmod(cell, self.order.width)
        for other, across in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= other < self.order.height and 0 <= across < self.order.width
            if inside and self.known[other, across]:
                seen = self._own_step(other * self.order.width + across, tops, lefts)
                assert seen is not None
                seen_all &= (seen >= 0) & (seen < step)
        return seen_all

    def _choose(self, alive: Flags, tops: Numbers, lefts: Numbers, cell: int) -> tuple[int, int]:
        """Of the windows that serve the run, the one that holds most known cells; of these the most central one."""
        row, column = divmod(cell, self.order.width)
        counts = np.pad(self.known.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        bottom, right = tops + self.height, lefts + self.width
        known = (
            counts[np.ix_(bottom, right)]
            - counts[np.ix_(tops, right)]
            - counts[np.ix_(bottom, lefts)]
            + counts[np.ix_(tops, lefts)]
        )
        off_centre = np.abs(row - tops - self.height // 2)[:, None] + np.abs(column - lefts - self.width // 2)[None, :]
        size = self.height + self.width
        # Without a margin the cell is to be in the middle; with one, context comes first.
        worth = -off_centre if self.margin is None else known * size - off_centre
        best = int(np.where(alive, worth, np.iinfo(np.int64).min).argmax())
        return int(tops[best // len(lefts)]), int(lefts[best % len(lefts)])

    def _context(self, top: int, left: int, cell: int) -> tuple[int, ...]:
        rows, columns = np.arange(top, top + self.height), np.arange(left, left + self.width)
        cells = (rows[:, None] * self.order.width + columns[None, :]).reshape(-1)
        if self.own is not None:
            row, column = divmod(cell, self.order.width)
            step = int(self.own.steps[(row - top) * self.width + column - left])
            return tuple(cells[self.own.positions[:step].numpy()].tolist())
        known = cells[self.known.flat[cells]]
        return tuple(known[self.large_steps[known].argsort()].tolist())

    def _refuse(self, cell: int) -> None:
        assert self.own is not None
        row, column = divmod(cell, self.order.width)
        raise ValueError(
            f"this prior was trained in the order {self.own.name!r} and cannot walk {self.order.height} x "
            f"{self.order.width} cells in the order {self.order.name!r}: in no window of {self.height} x {self.width} "
            f"does its own order come to the cell at row {row}, column {column} when all cells before it are known and "
            "no known neighbour comes after; use raster on raster, or a prior trained with order random-per-sample"
        )


def _distance(place: int, starts: Numbers, size: int, large: int) -> Numbers:
    """Cells from a place to the ends of windows along one axis; an end of the grid is no end."""
    before = place - starts
    after = starts + size - 1 - place
    inside = (before >= 0) & (after >= 0)
    found = np.minimum(np.where(starts == 0, FAR, before), np.where(starts + size == large, FAR, after))
    return np.where(inside, found, -1)
