"""What every order of the registry promises, on every grid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.orders import ORDERS, ScanOrder, available_orders, measure_locality, order_policy, scan_order

SIDES = st.integers(1, 12)
EXAMPLES = settings(max_examples=25, deadline=None)  # no test depends on how fast the machine is
ANY_GRID = [name for name in ORDERS if not name.startswith("taming:")]
UNIT_STEPS = ["snake", "snake-column", "spiral-in", "spiral-out", "hilbert"]
FIRST_CELL = {  # by height and width
    "raster": lambda h, w: (0, 0),
    "raster-reverse": lambda h, w: (h - 1, w - 1),
    "column": lambda h, w: (0, 0),
    "snake": lambda h, w: (0, 0),
    "snake-column": lambda h, w: (0, 0),
    "diagonal": lambda h, w: (0, 0),
    "diagonal-snake": lambda h, w: (0, 0),
    "spiral-in": lambda h, w: (0, 0),
    "hilbert": lambda h, w: (0, 0),
    "morton": lambda h, w: (0, 0),
    "bit-reversal": lambda h, w: (0, 0),
    "checkerboard": lambda h, w: (0, 0),
    "halton": lambda h, w: (h // 2, w // 3),
}
LAST_CELL = {
    "raster": lambda h, w: (h - 1, w - 1),
    "raster-reverse": lambda h, w: (0, 0),
    "column": lambda h, w: (h - 1, w - 1),
    "snake": lambda h, w: (h - 1, w - 1 if h % 2 else 0),
    "snake-column": lambda h, w: (h - 1 if w % 2 else 0, w - 1),
    "diagonal": lambda h, w: (h - 1, w - 1),
    "diagonal-snake": lambda h, w: (h - 1, w - 1),
    "spiral-out": lambda h, w: (0, 0),
    "morton": lambda h, w: (h - 1, w - 1),
}
SECOND_CELL = {  # the direction set out in, on grids of at least 2 x 2
    "raster": lambda h, w: (0, 1),
    "raster-reverse": lambda h, w: (h - 1, w - 2),
    "column": lambda h, w: (1, 0),
    "snake": lambda h, w: (0, 1),
    "snake-column": lambda h, w: (1, 0),
    "diagonal": lambda h, w: (0, 1),
    "diagonal-snake": lambda h, w: (0, 1),
    "spiral-in": lambda h, w: (0, 1),
    "morton": lambda h, w: (0, 1),
}


def cell_at(name: str, height: int, width: int, step: int) -> tuple[int, int]:
    return divmod(int(scan_order(name, height=height, width=width).positions[step]), width)


@pytest.mark.parametrize("name", ANY_GRID)
@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_every_order_takes_every_grid_and_visits_each_cell_once(name, height, width):
    positions = scan_order(name, height=height, width=width).positions
    assert positions.dtype == torch.int64
    assert positions.sort().values.tolist() == list(range(height * width))


@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_steps_invert_positions(height, width):
    cells = list(range(height * width))
    for order in available_orders(height=height, width=width).values():
        assert order.steps[order.positions].tolist() == cells
        assert order.positions[order.steps].tolist() == cells


@EXAMPLES
@given(height=SIDES, width=SIDES, data=st.data())
def test_unscan_undoes_scan(height, width, data):
    dtype = data.draw(st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.int64]))
    codes = torch.randint(0, 100, (2, height, width)).to(dtype)
    for order in available_orders(height=height, width=width).values():
        sequence = order.scan(codes)
        assert sequence.dtype == dtype
        assert torch.equal(order.unscan(sequence), codes)
        assert torch.equal(order.scan(order.unscan(sequence)), sequence)


@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_scan_visits_cells_as_a_naive_loop_does(height, width):
    codes = torch.randint(0, 100, (2, height, width))
    for order in available_orders(height=height, width=width).values():
        visits = [divmod(cell, width) for cell in order.positions.tolist()]
        naive = [[int(grid[row, col]) for row, col in visits] for grid in codes]
        assert order.scan(codes).tolist() == naive


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_is_the_same_whenever_it_is_built(name):
    first, second = (scan_order(name, height=4, width=4, seed=7) for _ in range(2))
    assert first == second
    assert ScanOrder.from_description(first.describe()) == first


@pytest.mark.parametrize("name", FIRST_CELL)
@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_orders_begin_where_documented(name, height, width):
    assert cell_at(name, height, width, 0) == FIRST_CELL[name](height, width)


@pytest.mark.parametrize("name", LAST_CELL)
@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_orders_end_where_documented(name, height, width):
    assert cell_at(name, height, width, -1) == LAST_CELL[name](height, width)


@pytest.mark.parametrize("name", SECOND_CELL)
@EXAMPLES
@given(height=st.integers(2, 12), width=st.integers(2, 12))
def test_orders_set_out_in_the_documented_direction(name, height, width):
    assert cell_at(name, height, width, 1) == SECOND_CELL[name](height, width)


@pytest.mark.parametrize("name", UNIT_STEPS)
@EXAMPLES
@given(height=SIDES, width=SIDES)
def test_curves_move_to_a_neighbour_at_every_step(name, height, width):
    order = scan_order(name, height=height, width=width)
    row, col = order.positions // width, order.positions % width
    assert (row.diff().abs() + col.diff().abs() == 1).all()


@pytest.mark.parametrize("name", ["raster", "snake", "diagonal", "diagonal-snake", "column", "morton"])
def test_cell_above_is_known_first(name):
    assert measure_locality(scan_order(name, height=8, width=8)).up_known_fraction == 1


@pytest.mark.parametrize("name", ORDERS)
def test_policies_give_the_order_by_name(name):
    policy = order_policy(name, height=4, width=4)
    expected = scan_order(name, height=4, width=4).positions
    assert torch.equal(policy.positions(3), expected.expand(3, -1))


def test_orders_on_one_grid_differ_but_for_the_known_equals():
    by_fingerprint = {}
    for name, order in available_orders(height=8, width=8).items():
        by_fingerprint.setdefault(order.fingerprint, set()).add(name)
    assert [names for names in by_fingerprint.values() if len(names) > 1] == [
        {"raster", "taming:identity"},
        {"snake", "taming:alternate"},
        {"morton", "taming:zcurve"},
        {"bit-reversal", "taming:subsample"},
    ]
