import itertools

import pytest

from vqgen.orders.diagonal import diagonal, diagonal_snake

JPEG_ZIGZAG_STEPS = """
 0  1  5  6 14 15 27 28
 2  4  7 13 16 26 29 42
 3  8 12 17 25 30 41 43
 9 11 18 24 31 40 44 53
10 19 23 32 39 45 52 54
20 22 33 38 46 51 55 60
21 34 37 47 50 56 59 61
35 36 48 49 57 58 62 63
"""


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3)])
def test_diagonal_runs_down_each_anti_diagonal(height, width):
    naive = [
        row * width + total - row
        for total in range(height + width - 1)
        for row in range(height)
        if 0 <= total - row < width
    ]
    assert diagonal(height, width).tolist() == naive


def test_diagonal_snake_is_the_zigzag_of_jpeg():
    steps = list(map(int, JPEG_ZIGZAG_STEPS.split()))
    assert [steps[cell] for cell in diagonal_snake(8, 8).tolist()] == list(range(64))


@pytest.mark.parametrize(("height", "width"), [(1, 5), (5, 1), (3, 4), (7, 2)])
def test_diagonal_snake_never_jumps(height, width):
    cells = [divmod(cell, width) for cell in diagonal_snake(height, width).tolist()]
    for (row, col), (next_row, next_col) in itertools.pairwise(cells):
        assert max(abs(row - next_row), abs(col - next_col)) == 1
