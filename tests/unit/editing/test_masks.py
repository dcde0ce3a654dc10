import pytest
import torch

from vqgen.editing import grid_mask


def test_a_cell_is_unknown_if_any_of_its_pixels_is():
    mask = torch.rand(5, 12, 8) < 0.1
    found = grid_mask(mask, downsampling=4)
    for image in range(5):
        for row in range(3):
            for column in range(2):
                cell = mask[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                assert bool(found[image, row, column]) == bool(cell.any())


def test_a_margin_adds_the_cells_around_also_at_the_corners():
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[0, 5, 5] = True
    found = grid_mask(mask, downsampling=2, margin=1)[0]
    assert found.nonzero().tolist() == [[row, column] for row in (1, 2, 3) for column in (1, 2, 3)]


def test_all_codes_of_a_cell_share_its_mask():
    mask = torch.rand(2, 4, 6) < 0.2
    once = grid_mask(mask, downsampling=2)
    assert torch.equal(grid_mask(mask, downsampling=2, depth=3), torch.cat((once, once, once), dim=1))


def test_an_empty_and_a_full_mask_stay_so():
    assert not grid_mask(torch.zeros(1, 4, 4, dtype=torch.bool), downsampling=2, margin=2).any()
    assert grid_mask(torch.ones(1, 4, 4, dtype=torch.bool), downsampling=2).all()


def test_a_negative_margin_and_an_odd_size_are_refused():
    with pytest.raises(ValueError, match="margin must be >= 0, got -1"):
        grid_mask(torch.zeros(1, 4, 4, dtype=torch.bool), downsampling=2, margin=-1)
    with pytest.raises(ValueError, match="divisible by the tokenizer's downsampling 4"):
        grid_mask(torch.zeros(1, 4, 6, dtype=torch.bool), downsampling=4)
