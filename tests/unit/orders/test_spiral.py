import pytest

from vqgen.orders.spiral import spiral_in, spiral_out

GRIDS = [(1, 1), (1, 5), (5, 1), (2, 3), (4, 4), (5, 7), (6, 3)]


def walk_inwards(height: int, width: int) -> list[int]:
    """Go straight on, turn right at the edge and at visited cells."""
    seen, row, col, down, right = [], 0, 0, 0, 1
    while len(seen) < height * width:
        seen.append(row * width + col)
        ahead = (row + down, col + right)
        if not (0 <= ahead[0] < height and 0 <= ahead[1] < width) or ahead[0] * width + ahead[1] in seen:
            down, right = right, -down
        row, col = row + down, col + right
    return seen


@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_spiral_in_turns_right_at_edges_and_known_cells(height, width):
    assert spiral_in(height, width).tolist() == walk_inwards(height, width)


@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_spiral_out_is_spiral_in_backwards(height, width):
    assert spiral_out(height, width).tolist() == walk_inwards(height, width)[::-1]


def test_spiral_out_begins_as_documented():
    assert spiral_out(4, 4).tolist()[:5] == [9, 10, 6, 5, 4]
    assert spiral_out(5, 5).tolist()[:5] == [12, 11, 16, 17, 18]
