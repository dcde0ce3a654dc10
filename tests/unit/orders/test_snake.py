import pytest

from vqgen.orders.snake import snake, snake_column

GRIDS = [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3)]


@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_snake_turns_every_other_row(height, width):
    naive = []
    for row in range(height):
        columns = range(width) if row % 2 == 0 else reversed(range(width))
        naive += [row * width + col for col in columns]
    assert snake(height, width).tolist() == naive


@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_snake_column_turns_every_other_column(height, width):
    naive = []
    for col in range(width):
        rows = range(height) if col % 2 == 0 else reversed(range(height))
        naive += [row * width + col for row in rows]
    assert snake_column(height, width).tolist() == naive
