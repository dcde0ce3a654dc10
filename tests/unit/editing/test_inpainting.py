"""Pipelines that inpaint, outpaint, edit and draw larger: what is kept, what is read, what is refused."""

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline

from vqgen.editing import canvas_around, complete_codes, fill_unknown, grid_mask, order_of_size
from vqgen.orders import scan_order


def make_lively_pipeline(order):
    """The blocks of a fresh prior add nothing; these do, so that what is known and the class matter."""
    pipeline = make_tiny_pipeline(order)
    generator = torch.Generator().manual_seed(0)
    for parameter in pipeline.prior.blocks.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return pipeline


@pytest.fixture(scope="module")
def pipeline():
    return make_lively_pipeline("random-per-sample")


@pytest.fixture(scope="module")
def images(pipeline):
    return pipeline.generate(3, seed=5, top_k=20)


def hole(size: int = 64) -> torch.Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[10:30, 20:45] = True
    return mask


@pytest.mark.parametrize("blend", ["feather", "paste"])
def test_known_pixels_are_kept_exactly_and_the_hole_is_drawn(pipeline, images, blend):
    drawn = pipeline.inpaint(images, hole(), blend=blend, seed=1)
    assert torch.equal(drawn[..., ~hole()], images[..., ~hole()])
    assert not torch.equal(drawn[..., hole()], images[..., hole()])
    assert drawn.abs().max() <= 1


def test_what_the_hole_hides_is_never_read(pipeline, images):
    spoiled = torch.where(hole(), torch.nan, images)
    for fill in ("edge", "mean"):
        for blend in ("feather", "none"):
            options = {"fill": fill, "blend": blend, "seed": 1}
            assert torch.equal(
                pipeline.inpaint(spoiled, hole(), **options), pipeline.inpaint(images, hole(), **options)
            )


def test_without_blending_the_picture_is_the_decoder_s(pipeline, images):
    drawn = pipeline.inpaint(images, hole(), blend="none", seed=1)
    codes = pipeline.tokenizer.encode(fill_unknown(images, ~hole().expand(3, 64, 64)))
    hidden = grid_mask(hole()[None], downsampling=8).expand(3, 8, 8)
    codes = complete_codes(pipeline.prior, codes, hidden, pipeline.resolve_order(None), seed=1)
    assert torch.allclose(drawn, pipeline.decode(codes), atol=1e-6)
    assert not torch.equal(drawn[..., ~hole()], images[..., ~hole()])


def test_nothing_hidden_gives_the_images_back_and_everything_hidden_draws_anew(pipeline, images):
    nothing, everything = torch.zeros(64, 64, dtype=torch.bool), torch.ones(64, 64, dtype=torch.bool)
    assert torch.equal(pipeline.inpaint(images, nothing), images)
    assert torch.allclose(pipeline.inpaint(images, everything, seed=4), pipeline.generate(3, seed=4), atol=1e-5)


def test_a_mask_per_image_and_batch_size_change_nothing(pipeline, images):
    masks = torch.stack([hole(), hole().T, hole()])
    together = pipeline.inpaint(images, masks, seed=1)
    alone = pipeline.inpaint(images, masks, seed=1, batch_size=1)
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_order_of_the_unknown_cells_matters_and_a_margin_draws_more(pipeline, images):
    first = pipeline.inpaint(images, hole(), order="raster", seed=1)
    assert not torch.equal(first, pipeline.inpaint(images, hole(), order="spiral-in", seed=1))
    wider = pipeline.inpaint(images, hole(), margin=1, seed=1)
    assert torch.equal(wider[..., ~hole()], images[..., ~hole()])
    assert not torch.equal(wider, first)


def test_edit_is_inpainting_towards_a_class(pipeline, images):
    drawn = pipeline.edit(images, hole(), "animals-nature", seed=1)
    assert torch.equal(drawn, pipeline.inpaint(images, hole(), "animals-nature", guidance=3.0, seed=1))
    assert not torch.equal(drawn, pipeline.edit(images, hole(), "flags", seed=1))
    with pytest.raises(ValueError, match="a condition to edit towards, got none"):
        pipeline.edit(images, hole(), None)


def test_a_fixed_order_draws_below_a_known_top_and_refuses_a_hole(images):
    fixed = make_lively_pipeline("raster")
    below = torch.zeros(64, 64, dtype=torch.bool)
    below[40:] = True
    drawn = fixed.inpaint(images, below, seed=1)
    assert torch.equal(drawn[..., :40, :], images[..., :40, :])
    with pytest.raises(ValueError, match="trained in the order 'raster' and can only go on from a known beginning"):
        fixed.inpaint(images, hole())
    with pytest.raises(ValueError, match="trained in the order 'raster' and knows no other, got 'hilbert'"):
        fixed.inpaint(images, below, order="hilbert")


def test_outpainting_within_the_trained_size_keeps_the_image_where_it_is_put(pipeline, images):
    drawn = pipeline.outpaint(images[..., :40, :50], top=24, right=14, seed=1)
    assert drawn.shape == (3, 3, 64, 64)
    assert torch.equal(drawn[..., 24:, :50], images[..., :40, :50])


def test_outpainting_beyond_the_trained_size_goes_through_windows(pipeline, images):
    drawn = pipeline.outpaint(images[:2], left=16, right=24, order="hilbert", condition="flags", seed=1)
    assert drawn.shape == (2, 3, 64, 104)
    assert torch.equal(drawn[..., 16:80], images[:2])
    other = torch.where(torch.arange(64) < 32, images[:2], -images[:2])
    changed = pipeline.outpaint(other, left=16, right=24, order="hilbert", condition="flags", seed=1)
    assert not torch.equal(changed[..., 80:], drawn[..., 80:])


def test_a_fixed_order_outpaints_downwards(images):
    drawn = make_lively_pipeline("raster").outpaint(images, bottom=16, seed=1)
    assert torch.equal(drawn[..., :64, :], images)
    with pytest.raises(ValueError, match="cannot walk 10 x 8 cells in the order 'raster'"):
        make_lively_pipeline("raster").outpaint(images, top=16)


@pytest.mark.parametrize("order", [None, "hilbert", "random", scan_order("spiral-out", height=10, width=12)])
def test_larger_images_have_the_size_asked_for_in_any_order(pipeline, order):
    drawn = pipeline.generate_larger(2, height=80, width=96, order=order, condition=["flags", -1], seed=1)
    assert drawn.shape == (2, 3, 80, 96)
    again = pipeline.generate_larger(2, height=80, width=96, order=order, condition=["flags", -1], seed=1, batch_size=1)
    assert torch.allclose(drawn, again, atol=1e-5)


def test_a_prior_of_one_order_draws_larger_where_windows_allow_it():
    assert make_lively_pipeline("raster").generate_larger(1, height=80, width=72).shape == (1, 3, 80, 72)
    with pytest.raises(ValueError, match="trained in the order 'spiral-in' and cannot walk 10 x 9"):
        make_lively_pipeline("spiral-in").generate_larger(1, height=80, width=72)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 80, "width": 60}, "divisible by the tokenizer's downsampling 8"),
        ({"height": 80, "width": 56}, "at least the prior's 8 x 8 cells, got 10 x 7"),
        ({"height": 80, "width": 80, "margin": 4}, "margin must be from 0 to 3"),
        (
            {"height": 80, "width": 80, "order": scan_order("raster", height=8, width=8)},
            "the picture has one of 10 x 10",
        ),
    ],
)
def test_impossible_larger_images_are_refused(pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipeline.generate_larger(1, **arguments)


def test_other_masks_blends_and_counts_are_refused(pipeline, images):
    with pytest.raises(ValueError, match=r"mask of shape \(64, 64\), or \(3, 64, 64\).*got \(2, 64, 64\)"):
        pipeline.inpaint(images, torch.ones(2, 64, 64, dtype=torch.bool))
    with pytest.raises(ValueError, match="blend must be one of feather, paste, none, got 'poisson'"):
        pipeline.inpaint(images, hole(), blend="poisson")
    with pytest.raises(ValueError, match="count must be >= 1, got 0"):
        pipeline.generate_larger(0, height=64, width=64)
    with pytest.raises(ValueError, match="top, bottom, left and right must be >= 0, got -8, 0, 0 and 0"):
        canvas_around(images, top=-8)


def test_steps_are_passed_on_and_refused_for_windows(pipeline, images):
    drawn = pipeline.inpaint(images, hole(), steps=3, seed=1)
    assert torch.equal(drawn[..., ~hole()], images[..., ~hole()])
    assert not torch.equal(drawn, pipeline.inpaint(images, hole(), seed=1))
    with pytest.raises(ValueError, match="steps is for images of the trained size, got 3 for a grid of 10 x 8"):
        pipeline.outpaint(images, bottom=16, steps=3)


def test_a_hole_is_filled_most_certain_cells_first(pipeline, images):
    drawn = pipeline.inpaint(images, hole(), order="most-certain", seed=1)
    assert torch.equal(drawn[..., ~hole()], images[..., ~hole()])
    assert not torch.equal(drawn, pipeline.inpaint(images, hole(), order="most-informative", seed=1))
    with pytest.raises(ValueError, match="by_confidence is for images of the trained size, got 'most-certain'"):
        pipeline.outpaint(images, bottom=16, order="most-certain")


def test_an_order_of_another_size_is_made_by_name():
    trained = scan_order("random", height=4, width=4, seed=3)
    assert order_of_size(None, trained, height=4, width=6) == scan_order("random", height=4, width=6, seed=3)
    assert order_of_size("snake", trained, height=4, width=6).name == "snake"
