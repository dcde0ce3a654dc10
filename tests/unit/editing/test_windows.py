"""Plans: every cell once, in order, from what is known within its window."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.editing import plan_windows
from vqgen.orders import scan_order

NAMES = ["raster", "hilbert", "spiral-in", "spiral-out", "bit-reversal", "random", "checkerboard"]


def cells_of(run, large_width, height, width):
    return {
        row * large_width + column
        for row in range(run.top, run.top + height)
        for column in range(run.left, run.left + width)
    }


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    more_rows=st.integers(0, 6),
    more_columns=st.integers(0, 6),
    one_by_one=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_unknown_cell_is_drawn_once_in_order_from_all_that_its_window_knows(
    name, height, width, more_rows, more_columns, one_by_one, seed
):
    order = scan_order(name, height=height + more_rows, width=width + more_columns)
    known = torch.rand(order.height, order.width, generator=torch.Generator().manual_seed(seed)) < 0.3
    runs = plan_windows(order, height=height, width=width, one_by_one=one_by_one, known=known)
    there = set(known.flatten().nonzero().flatten().tolist())
    drawn = []
    for run in runs:
        window = cells_of(run, order.width, height, width)
        assert set(run.cells) <= window
        assert 0 <= run.top <= more_rows
        assert 0 <= run.left <= more_columns
        assert set(run.context) == window & there
        assert len(run.context) == len(set(run.context))
        there |= set(run.cells)
        drawn += run.cells
    assert drawn == [cell for cell in order.positions.tolist() if not known.flatten()[cell]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("margin", [0, 1, 2])
def test_drawn_cells_keep_the_margin_from_window_edges_that_are_not_the_grids(name, margin):
    order = scan_order(name, height=9, width=11)
    for run in plan_windows(order, height=5, width=6, margin=margin):
        for cell in run.cells:
            row, column = divmod(cell, 11)
            assert row - run.top >= margin or run.top == 0
            assert column - run.left >= margin or run.left == 0
            assert run.top + 4 - row >= margin or run.top + 5 == 9
            assert run.left + 5 - column >= margin or run.left + 6 == 11


def test_a_window_per_cell_has_the_cell_in_its_middle_but_at_borders():
    order = scan_order("raster", height=12, width=12)
    runs = plan_windows(order, height=4, width=4, one_by_one=True)
    assert len(runs) == 144
    for run in runs:
        row, column = divmod(run.cells[0], 12)
        assert run.top == min(max(row - 2, 0), 8)
        assert run.left == min(max(column - 2, 0), 8)


def test_runs_spare_windows_in_local_orders():
    for name, fewer in (("raster", 2.9), ("snake", 2.9), ("hilbert", 2.9)):
        order = scan_order(name, height=16, width=16)
        runs = plan_windows(order, height=8, width=8)
        assert len(runs) < 256 / fewer


def test_a_grid_of_the_window_s_size_is_one_run():
    order = scan_order("spiral-out", height=5, width=4)
    (run,) = plan_windows(order, height=5, width=4)
    assert run.cells == tuple(order.positions.tolist())
    assert run.positions(large_width=4, width=4).tolist() == list(run.cells)


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("name", ["raster", "raster-reverse", "column", "snake", "diagonal"])
def test_a_prior_of_one_order_walks_it_on_larger_grids(name, one_by_one):
    own = scan_order(name, height=4, width=4)
    order = scan_order(name, height=10, width=10)
    known: set[int] = set()
    for run in plan_windows(order, height=4, width=4, own=own, one_by_one=one_by_one):
        local = run.positions(large_width=10, width=4).tolist()
        assert local == own.positions[: len(local)].tolist()
        assert set(run.context) <= known
        row, column = divmod(run.cells[0], 10)
        beside = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
        neighbours = {r * 10 + c for r, c in beside if 0 <= r < 10 and 0 <= c < 10}
        assert neighbours & known <= set(run.context)
        known |= set(run.cells)
    assert known == set(range(100))


@pytest.mark.parametrize(("own", "large"), [("spiral-in", "spiral-in"), ("raster", "hilbert"), ("random", "random")])
def test_orders_that_do_not_fit_into_windows_are_refused(own, large):
    with pytest.raises(ValueError, match=rf"trained in the order '{own}' and cannot walk 8 x 8.*'{large}'.*raster on"):
        plan_windows(scan_order(large, height=8, width=8), height=4, width=4, own=scan_order(own, height=4, width=4))


def test_a_snake_needs_windows_that_begin_at_even_rows():
    with pytest.raises(ValueError, match="cell at row 8, column 0 when"):
        plan_windows(
            scan_order("snake", height=9, width=8), height=4, width=4, own=scan_order("snake", height=4, width=4)
        )


def test_a_window_larger_than_the_grid_and_a_margin_too_large_are_refused():
    order = scan_order("raster", height=4, width=8)
    with pytest.raises(ValueError, match="at least the prior's 5 x 4 cells, got 4 x 8"):
        plan_windows(order, height=5, width=4)
    with pytest.raises(ValueError, match="margin must be from 0 to 1 cells in windows of 4 x 4, got 2"):
        plan_windows(order, height=4, width=4, margin=2)
