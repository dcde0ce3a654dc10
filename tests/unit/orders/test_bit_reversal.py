import pytest

from vqgen.orders.bit_reversal import bit_reversal


def reversed_code(row: int, col: int, bits: int) -> str:
    """Lowest row bit, lowest column bit, next row bit, next column bit..., as text."""
    low_first = [format(number, f"0{bits}b")[::-1] for number in (row, col)]
    return "".join(pair[0] + pair[1] for pair in zip(*low_first, strict=True))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 4), (16, 16), (5, 7), (2, 16), (1, 12)])
def test_bit_reversal_sorts_by_the_morton_code_read_backwards(height, width):
    bits = len(format(max(height, width) - 1, "b"))
    cells = range(height * width)
    assert bit_reversal(height, width).tolist() == sorted(cells, key=lambda c: reversed_code(*divmod(c, width), bits))


def test_bit_reversal_of_one_cell():
    assert bit_reversal(1, 1).tolist() == [0]


@pytest.mark.parametrize("side", [8, 16])
def test_bit_reversal_completes_each_lattice_before_the_next(side):
    spacing = side
    while spacing:
        lattice = {row * side + col for row in range(0, side, spacing) for col in range(0, side, spacing)}
        assert set(bit_reversal(side, side)[: len(lattice)].tolist()) == lattice
        spacing //= 2
