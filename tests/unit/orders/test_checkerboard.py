import pytest

from vqgen.orders.checkerboard import checkerboard


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1), (3, 3), (4, 5)])
def test_checkerboard_takes_one_colour_then_the_other(height, width):
    cells = [(row, col) for row in range(height) for col in range(width)]
    halves = [[row * width + col for row, col in cells if (row + col) % 2 == colour] for colour in (0, 1)]
    assert checkerboard(height, width).tolist() == halves[0] + halves[1]
