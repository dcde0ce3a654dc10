"""A pipeline around a masked prior: no order, few steps, any part of an image."""

import pytest
import torch
from PIL import Image
from tiny_pipeline import make_tiny_pipeline

from vqgen import Pipeline, Tokenizer
from vqgen.cli import main
from vqgen.metrics import LikelihoodBound
from vqgen.orders import order_policy, scan_order
from vqgen.pictures import picture_grid
from vqgen.prior import MaskedPrior
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.sampling import sample_masked
from vqgen.tokenizer import Decoder, Encoder

NAMES = ("cats", "dogs", "7")


def make_pipeline(order: str = "random-per-sample", num_classes: int = 3) -> Pipeline:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8, "blocks": 1, "attention_at": ()}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(16, 4))
    prior = MaskedPrior(16, 4, 6, num_classes, dim=16, depth=2, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Pipeline(tokenizer, prior, order_policy(order, height=4, width=6), NAMES[:num_classes])


def half_mask() -> torch.Tensor:
    mask = torch.zeros(8, 12, dtype=torch.bool)
    mask[:, 6:] = True
    return mask


def test_it_draws_what_its_sampler_draws_whatever_the_count_and_batch_size() -> None:
    pipeline, labels = make_pipeline(), torch.tensor([0, 1, 2, 0, 1])
    expected = sample_masked(pipeline.prior, labels, steps=5, guidance=1.5, seed=4, choice_temperature=2.0)
    settings = {"steps": 5, "guidance": 1.5, "seed": 4, "choice_temperature": 2.0}
    assert torch.equal(pipeline.generate_codes(5, labels, batch_size=2, **settings), expected)
    assert torch.equal(pipeline.generate_codes(3, labels[:3], **settings), expected[:3])
    assert pipeline.generate(2, "dogs", steps=3).shape == (2, 3, 8, 12)


def test_left_alone_it_takes_the_samplers_number_of_steps() -> None:
    calls: list[tuple[int, torch.Tensor]] = []
    codes = make_pipeline().generate_codes(2, on_step=lambda known, so_far: calls.append((known, so_far.clone())))
    assert len(calls) == 16
    assert [known for known, _ in calls][-1] == 23
    for known, so_far in calls:
        assert (so_far >= 0).sum(dim=1).tolist() == [known + 1] * 2
    assert torch.equal(calls[-1][1].view(2, 4, 6), codes)


def test_a_prefix_is_the_beginning_in_raster_order() -> None:
    prefix = torch.randint(16, (2, 7))
    codes = make_pipeline().generate_codes(2, prefix=prefix, steps=4)
    assert torch.equal(codes.flatten(1)[:, :7], prefix)
    with pytest.raises(ValueError, match="at most one code per cell, 24, got 25"):
        make_pipeline().generate_codes(2, prefix=torch.zeros(2, 25, dtype=torch.int64))


def test_it_comes_back_from_its_folder(tmp_path) -> None:
    pipeline = make_pipeline()
    again = Pipeline.from_pretrained(pipeline.save_pretrained(tmp_path / "run"))
    assert isinstance(again.prior, MaskedPrior)
    assert again.prior.metadata["order"]["name"] == "random-per-sample"
    assert torch.equal(again.generate_codes(2, [1, 2], seed=3), pipeline.generate_codes(2, [1, 2], seed=3))


def test_known_pixels_are_kept_where_an_image_is_filled_in_or_edited() -> None:
    pipeline, images, mask = make_pipeline(), torch.rand(3, 3, 8, 12) * 2 - 1, half_mask()
    for drawn in (
        pipeline.inpaint(images, mask, steps=3, choice_temperature=1.0),
        pipeline.inpaint(images, mask),
        pipeline.edit(images, mask, "dogs"),
    ):
        assert torch.equal(drawn[..., :6], images[..., :6])
        assert not torch.equal(drawn[..., 6:], images[..., 6:])
    together, alone = pipeline.inpaint(images, mask, seed=2, batch_size=2), pipeline.inpaint(images[:1], mask, seed=2)
    torch.testing.assert_close(together[:1], alone)
    wider = pipeline.outpaint(images[..., :6], right=6)
    assert torch.equal(wider[..., :6], images[..., :6])


def test_likelihood_is_a_bound_and_says_so() -> None:
    pipeline, images = make_pipeline(), torch.rand(2, 3, 8, 12) * 2 - 1
    found = pipeline.log_likelihood(images, "cats")
    assert isinstance(found, LikelihoodBound)
    assert found.passes == 32
    assert found.nats_per_cell.shape == (4, 6)
    assert found.nats_per_code == pytest.approx(pipeline.log_likelihood(images, "cats").nats_per_code)


def test_an_order_is_refused_wherever_one_can_be_given() -> None:
    pipeline, images = make_pipeline(), torch.zeros(1, 3, 8, 12)
    message = "this prior is a masked one and has no order: .*, got order='hilbert'; leave it out"
    for call in (
        lambda: pipeline.generate(1, order="hilbert"),
        lambda: pipeline.generate(1, order=scan_order("hilbert", height=4, width=6)),
        lambda: pipeline.inpaint(images, half_mask(), order="hilbert"),
        lambda: pipeline.log_likelihood(images, order="hilbert"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="a masked prior has no order, got 'raster'"):
        make_pipeline("raster")


def test_what_takes_an_order_is_refused() -> None:
    pipeline = make_pipeline()
    with pytest.raises(
        ValueError, match="generate_larger takes a prior that draws in an order, and this one is masked"
    ):
        pipeline.generate_larger(1, height=16, width=24)
    with pytest.raises(ValueError, match="compile takes a prior that draws in an order"):
        pipeline.compile()
    with pytest.raises(ValueError, match=r"a masked prior draws grids of its own size, 4 x 6 cells, got .* 4 x 8"):
        pipeline.inpaint(torch.zeros(1, 3, 8, 16), torch.ones(8, 16, dtype=torch.bool))


def test_a_choice_temperature_is_refused_by_a_prior_that_chooses_no_cells() -> None:
    with pytest.raises(
        ValueError, match=r"for masked priors, which choose the cells to keep, got 2.0 and a prior that"
    ):
        make_tiny_pipeline().generate(1, choice_temperature=2.0)


def test_the_command_line_draws_from_it_and_shows_no_order(tmp_path, capsys) -> None:
    pipeline = make_pipeline()
    folder = str(pipeline.save_pretrained(tmp_path / "run"))
    main(["sample", folder, "--n", "2", "--steps", "4", "--device", "cpu", "--out", str(tmp_path / "x.png")])
    expected = picture_grid(pipeline.generate(2, steps=4), columns=2)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.tobytes() == expected.tobytes()
    with pytest.raises(SystemExit):
        main(["sample", folder, "--gif", str(tmp_path / "x.gif"), "--out", str(tmp_path / "x.png")])
    assert "--gif shows the order of drawing, and the prior in" in capsys.readouterr().err
