import pytest

from vqgen.orders.hilbert import hilbert


def quarters(order: int) -> list[tuple[int, int]]:
    """The classical curve: four copies of itself, the first and the last mirrored at the diagonals."""
    if order == 0:
        return [(0, 0)]
    half, small = 2 ** (order - 1), quarters(order - 1)
    top_left = [(col, row) for row, col in small]
    bottom_left = [(row + half, col) for row, col in small]
    bottom_right = [(row + half, col + half) for row, col in small]
    top_right = [(half - 1 - col, 2 * half - 1 - row) for row, col in small]
    return top_left + bottom_left + bottom_right + top_right


@pytest.mark.parametrize("order", range(6))
def test_hilbert_is_the_classical_curve_on_powers_of_two(order):
    side = 2**order
    assert hilbert(side, side).tolist() == [row * side + col for row, col in quarters(order)]


@pytest.mark.parametrize("height", range(1, 26))
def test_hilbert_makes_unit_steps_on_every_grid(height):
    for width in range(1, 26):
        positions = hilbert(height, width)
        assert positions.sort().values.tolist() == list(range(height * width))
        moves = (positions // width).diff().abs() + (positions % width).diff().abs()
        assert (moves == 1).all()


@pytest.mark.parametrize("height", range(1, 20))
def test_hilbert_ends_at_the_other_corner_of_the_longer_side(height):
    for width in range(1, 20):
        corner = (0, width - 1) if width >= height else (height - 1, 0)
        ends_there = divmod(int(hilbert(height, width)[-1]), width) == corner
        # By colouring the cells like a chessboard: no walk of unit steps can join these corners there.
        impossible = max(height, width) % 2 == 1 and min(height, width) % 2 == 0
        assert ends_there != impossible


def test_hilbert_of_a_tall_grid_is_the_transpose_of_the_wide_one():
    wide = [divmod(cell, 7) for cell in hilbert(4, 7).tolist()]
    assert hilbert(7, 4).tolist() == [col * 4 + row for row, col in wide]


def test_hilbert_keeps_close_cells_close():
    positions = hilbert(16, 16)
    row, col = positions // 16, positions % 16
    for lag in (4, 16, 64):
        distance = ((row[lag:] - row[:-lag]) ** 2 + (col[lag:] - col[:-lag]) ** 2).max()
        assert distance <= 6 * lag  # Niedermeier et al., 2002: the square of the distance is below 6 |i - j|
