"""The orders of taming-transformers: golden values worked out by slow constructions, and the limits it has."""

import numpy as np
import pytest
import torch

from vqgen.orders import ORDERS, scan_order

# First cells on 16 x 16 and the fingerprint of the whole, as taming's own permuters give them.
GOLDEN = {
    "identity": ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "ca69db201e4c9a56"),
    "subsample": ([0, 8, 128, 136, 4, 12, 132, 140, 64, 72, 192, 200], "2a271e6cb4a7a409"),
    "zcurve": ([0, 1, 16, 17, 2, 3, 18, 19, 32, 33, 48, 49], "4573f5e0974609c7"),
    "spiral-out": ([135, 119, 120, 136, 152, 151, 150, 134, 118, 102, 103, 104], "a589cb4d6f7fd269"),
    "spiral-in": ([255, 239, 223, 207, 191, 175, 159, 143, 127, 111, 95, 79], "6f9ec5271c0bc548"),
    "random": ([183, 34, 185, 233, 216, 181, 160, 27, 145, 187, 255, 62], "fb0b77933370d36a"),
    "alternate": ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "8ecfbec84e1e49ff"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_taming_orders_keep_their_golden_values(name):
    order = scan_order(f"taming:{name}", height=16, width=16)
    assert (order.positions[:12].tolist(), order.fingerprint) == GOLDEN[name]


def test_all_seven_are_there():
    assert {name for name in ORDERS if name.startswith("taming:")} == {f"taming:{name}" for name in GOLDEN}


def test_subsample_splits_blocks_of_two_by_their_parities():
    def split(rows: list[int], cols: list[int]) -> list[tuple[int, int]]:
        if len(rows) == 1:
            return [(rows[0], cols[0])]
        # The upper level of the split is the lattice of even rows and columns: coarse before fine.
        return [cell for down in (0, 1) for right in (0, 1) for cell in split(rows[down::2], cols[right::2])]

    naive = [row * 16 + col for row, col in split(list(range(16)), list(range(16)))]
    assert scan_order("taming:subsample", height=16, width=16).positions.tolist() == naive


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (4, 4), (4, 8), (16, 16)])
def test_zcurve_takes_the_morton_code_for_the_step(height, width):
    steps = scan_order("taming:zcurve", height=height, width=width).steps.reshape(height, width)
    for row in range(height):
        for col in range(width):
            code = sum(((row >> bit & 1) * 2 + (col >> bit & 1)) * 4**bit for bit in range(5))
            assert steps[row, col] == code


@pytest.mark.parametrize("side", [2, 4, 6, 10, 16])
def test_spiral_out_turns_right_whenever_it_can(side):
    row, col, facing = side // 2, side // 2 - 1, 0
    seen = [(row, col)]
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    while len(seen) < side * side:
        row, col = row + moves[facing][0], col + moves[facing][1]
        seen.append((row, col))
        turned = moves[(facing + 1) % 4]
        if (row + turned[0], col + turned[1]) not in seen:
            facing = (facing + 1) % 4
    naive = [row * side + col for row, col in seen]
    assert scan_order("taming:spiral-out", height=side, width=side).positions.tolist() == naive
    assert naive[-1] == side * side - 1
    assert scan_order("taming:spiral-in", height=side, width=side).positions.tolist() == naive[::-1]


def test_random_is_numpys_permutation_of_seed_one():
    expected = np.random.RandomState(1).permutation(5 * 7).tolist()
    assert scan_order("taming:random", height=5, width=7).positions.tolist() == expected
    assert scan_order("taming:random", height=5, width=7, seed=3).positions.tolist() == expected


def test_positions_index_a_raster_sequence_as_taming_does():
    codes = torch.arange(16).reshape(1, 4, 4)
    for name in GOLDEN:
        order = scan_order(f"taming:{name}", height=4, width=4)
        assert torch.equal(order.scan(codes), codes.flatten(1)[:, order.positions])


@pytest.mark.parametrize(
    ("name", "height", "width", "message"),
    [
        ("subsample", 4, 8, "squares whose side is a power of two, got 4 x 8; 'bit-reversal' is the same order"),
        ("subsample", 6, 6, "squares whose side is a power of two, got 6 x 6; 'bit-reversal' is the same order"),
        ("zcurve", 6, 6, "h x h and h x 2h with h a power of two, got 6 x 6; 'morton' is the same order"),
        ("zcurve", 8, 4, "h x h and h x 2h with h a power of two, got 8 x 4; 'morton' is the same order"),
        ("spiral-out", 5, 5, "taming:spiral-out is defined on squares of even side .* got 5 x 5; 'spiral-out' takes"),
        ("spiral-out", 4, 6, "taming:spiral-out is defined on squares of even side .* got 4 x 6; 'spiral-out' takes"),
        ("spiral-in", 3, 3, "taming:spiral-in is defined on squares of even side .* got 3 x 3; 'spiral-in' takes"),
    ],
)
def test_taming_orders_refuse_the_grids_taming_cannot_do(name, height, width, message):
    with pytest.raises(ValueError, match=message):
        scan_order(f"taming:{name}", height=height, width=width)


@pytest.mark.parametrize("name", GOLDEN)
def test_taming_orders_take_a_single_cell(name):
    assert scan_order(f"taming:{name}", height=1, width=1).positions.tolist() == [0]
