import pytest
import torch

from vqgen.editing import extend, fill_unknown


def hole():
    known = torch.ones(1, 9, 9, dtype=torch.bool)
    known[0, 2:7, 3:8] = False
    return known


def test_rings_are_counted_from_the_edge_diagonals_as_one():
    distance = extend(torch.zeros(1, 1, 9, 9), hole()).distance[0]
    for row in range(9):
        for column in range(9):
            inside = 2 <= row < 7 and 3 <= column < 8
            expected = min(row - 1, 7 - row, column - 2, 8 - column) if inside else 0
            assert int(distance[row, column]) == expected


def test_what_stands_in_the_hole_is_never_read():
    values, known = torch.rand(1, 3, 9, 9), hole()
    spoiled = torch.where(known[:, None], values, torch.nan)
    for fill in ("edge", "mean"):
        found = fill_unknown(spoiled, known, fill)
        assert torch.equal(found, fill_unknown(values, known, fill))
        assert bool(found.isfinite().all())
        assert torch.equal(found[known[:, None].expand_as(found)], values[known[:, None].expand_as(found)])


def test_a_constant_is_carried_on_and_a_fill_stays_within_the_known_values():
    known = hole()
    assert torch.allclose(extend(torch.full((1, 2, 9, 9), 0.3), known).values, torch.tensor(0.3))
    values = torch.rand(1, 3, 9, 9)
    filled = extend(values, known).values
    assert values.min() - 1e-6 <= filled.min()
    assert filled.max() <= values.max() + 1e-6


def test_mean_is_of_the_known_pixels_of_each_image():
    values, known = torch.rand(2, 1, 9, 9), hole().repeat(2, 1, 1)
    found = fill_unknown(values, known, "mean")
    for image in range(2):
        assert float(found[image, 0, 4, 4]) == pytest.approx(float(values[image, 0][known[image]].mean()), abs=1e-6)


@pytest.mark.parametrize("fill", ["edge", "mean"])
def test_an_image_of_which_nothing_is_known_becomes_grey_whatever_is_beside_it(fill):
    known = torch.stack([torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)])
    values = torch.rand(2, 3, 4, 4)
    found = fill_unknown(values, known, fill)
    assert found[0].abs().max() == 0
    assert torch.equal(found[1], values[1])


def test_another_fill_is_refused():
    with pytest.raises(ValueError, match="fill must be one of edge, mean, got 'noise'"):
        fill_unknown(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), "noise")
