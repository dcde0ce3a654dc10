import pytest
import torch

from vqgen.editing import blend


def halves():
    known = torch.ones(1, 6, 12, dtype=torch.bool)
    known[:, :, 6:] = False
    return known


@pytest.mark.parametrize("width", [0, 1, 4, 50])
def test_known_pixels_are_kept_exactly(width):
    drawn, images, known = torch.rand(1, 3, 6, 12), torch.rand(1, 3, 6, 12), halves()
    found = blend(drawn, images, known, width=width)
    assert torch.equal(found[..., :6], images[..., :6])


def test_the_drawn_side_is_untouched_beyond_the_width():
    drawn, images = torch.rand(1, 3, 6, 12), torch.rand(1, 3, 6, 12)
    found = blend(drawn, images, halves(), width=3)
    assert torch.equal(found[..., 9:], drawn[..., 9:])
    assert not torch.allclose(found[..., 6:9], drawn[..., 6:9])
    assert torch.equal(blend(drawn, images, halves(), width=0)[..., 6:], drawn[..., 6:])


def test_a_constant_error_of_the_decoder_leaves_no_step_at_the_edge():
    images = torch.linspace(-0.5, 0.5, 12).expand(1, 1, 6, 12)
    drawn = images - 0.3
    found = blend(drawn, images, halves(), width=5)
    step = images[0, 0, 0, 1] - images[0, 0, 0, 0]
    assert torch.allclose(found[..., 6] - found[..., 5], step - 0.3 / 6, atol=1e-6)
    assert torch.allclose(blend(drawn, images, halves(), width=0)[..., 6] - images[..., 5], step - 0.3, atol=1e-6)


def test_unknown_pixels_of_the_original_do_not_matter():
    drawn, images = torch.rand(1, 3, 6, 12), torch.rand(1, 3, 6, 12)
    other = torch.where(halves()[:, None], images, torch.nan)
    assert torch.equal(blend(drawn, other, halves(), width=3), blend(drawn, images, halves(), width=3))


def test_values_stay_in_range_and_a_negative_width_is_refused():
    found = blend(torch.full((1, 1, 6, 12), 0.9), torch.full((1, 1, 6, 12), 1.0), halves(), width=4)
    assert found.max() <= 1
    with pytest.raises(ValueError, match="width must be >= 0, got -2"):
        blend(found, found, halves(), width=-2)
