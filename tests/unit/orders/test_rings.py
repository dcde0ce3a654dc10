import math

import pytest

from vqgen.orders.rings import rings


def offset(cell: int, height: int, width: int) -> tuple[float, float]:
    """How far a cell lies above and right of the centre."""
    return (height - 1) / 2 - cell // width, cell % width - (width - 1) / 2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (4, 4), (5, 5), (3, 8), (9, 2)])
def test_rings_go_outwards(height, width):
    ring = [math.floor(math.hypot(*offset(cell, height, width))) for cell in rings(height, width).tolist()]
    assert ring == sorted(ring)


def test_rings_are_walked_clockwise_from_the_top():
    order = rings(9, 9).tolist()
    for wanted in range(5):
        cells = [offset(cell, 9, 9) for cell in order]
        on_ring = [(up, right) for up, right in cells if math.floor(math.hypot(up, right)) == wanted]
        degrees = [math.degrees(math.atan2(right, up)) % 360 for up, right in on_ring]
        assert degrees[0] == 0
        assert degrees == sorted(degrees)


def test_rings_begin_in_the_centre():
    assert rings(5, 5)[0] == 12
    assert rings(4, 4)[:4].tolist() == [6, 10, 9, 5]
