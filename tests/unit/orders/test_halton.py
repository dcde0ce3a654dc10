from fractions import Fraction

import pytest

from vqgen.orders.halton import halton


def radical_inverse(number: int, base: int) -> Fraction:
    inverse, place = Fraction(0), Fraction(1)
    while number:
        place /= base
        inverse += number % base * place
        number //= base
    return inverse


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (4, 4), (5, 6), (8, 9)])
def test_halton_follows_the_points_and_passes_known_cells_over(height, width):
    naive, point = [], 0
    while len(naive) < height * width:
        point += 1
        cell = int(radical_inverse(point, 2) * height) * width + int(radical_inverse(point, 3) * width)
        if cell not in naive:
            naive.append(cell)
    assert halton(height, width).tolist() == naive


def test_halton_spreads_evenly_from_the_start():
    first = halton(16, 16)[:64]
    quarters = (first // 16 // 8) * 2 + (first % 16 // 8)
    counts = quarters.bincount(minlength=4).tolist()
    assert min(counts) >= 14
    assert max(counts) <= 18
