import pytest
import torch

from vqgen.orders.morton import bits_of_side, interleave_bits, morton


def quadrants(row: int, col: int, side: int) -> list[tuple[int, int]]:
    """Top left, top right, bottom left, bottom right, each in the same way."""
    if side == 1:
        return [(row, col)]
    half = side // 2
    corners = [(row, col), (row, col + half), (row + half, col), (row + half, col + half)]
    return [cell for corner in corners for cell in quadrants(*corner, half)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (4, 4), (5, 7), (8, 3)])
def test_morton_visits_quarters_in_turn_and_skips_what_is_missing(height, width):
    side = 1
    while side < max(height, width):
        side *= 2
    naive = [row * width + col for row, col in quadrants(0, 0, side) if row < height and col < width]
    assert morton(height, width).tolist() == naive


@pytest.mark.parametrize(("side", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5)])
def test_bits_of_side_covers_the_longer_side(side, bits):
    assert bits_of_side(side, 1) == bits
    assert bits_of_side(1, side) == bits


def test_interleave_bits_puts_the_first_number_above():
    woven = interleave_bits(torch.tensor([[0], [1], [5]]), torch.tensor([[0, 1]]), bits=3)
    assert woven.tolist() == [[0, 1], [2, 3], [0b100010, 0b100011]]
