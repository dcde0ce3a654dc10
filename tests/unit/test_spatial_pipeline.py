"""A pipeline whose prior is told a grid: of images, of another tokenizer's, or of labels."""

from pathlib import Path

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline
from torch import nn

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.conditioning import AlignedGridConditioner, GridOfImages, PrefixGridConditioner, SpatialConditioner
from vqgen.orders import order_policy


def other_tokenizer() -> Tokenizer:
    """Coarser than the pipeline's, with fewer codes."""
    from vqgen.quantizers import EMAVectorQuantizer
    from vqgen.tokenizer import Decoder, Encoder

    torch.manual_seed(5)
    body = {"channels": 8, "multipliers": (1,), "patch": 16, "blocks": 1, "attention_at": (), "latent_channels": 8}
    return Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=32, dim=4))


def make(kind: str, order: str = "hilbert") -> Pipeline:
    tokenizer = make_tiny_pipeline().tokenizer
    conditioner: SpatialConditioner
    if kind == "labels":
        conditioner, grids = AlignedGridConditioner(4, 8, 8, dim=16), None
    elif kind == "other":
        conditioner, grids = (
            AlignedGridConditioner(32, 4, 4, dim=16, height=8, width=8),
            GridOfImages(other_tokenizer(), "same"),
        )
    else:
        conditioner, grids = PrefixGridConditioner(128, 8, 8, dim=16), GridOfImages(tokenizer, kind)
    torch.manual_seed(0)
    prior = Prior(128, 8, 8, dim=16, depth=1, heads=2, conditioner=conditioner)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Pipeline(tokenizer, prior, order_policy(order, height=8, width=8), grids=grids)


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("kind", ["grey", "low-resolution:4", "other"])
def test_an_image_is_told_as_the_grid_it_becomes(kind: str) -> None:
    pipeline, given = make(kind), images(3)
    assert pipeline.grids is not None
    drawn = pipeline.generate(3, given, seed=1)
    assert torch.equal(drawn, pipeline.generate(3, pipeline.grids.encode(given), seed=1))
    assert not torch.equal(drawn, pipeline.generate(3, given.flip(0), seed=1))
    one = pipeline.generate(3, given[:1], seed=1)
    assert torch.equal(one, pipeline.generate(3, given[:1].expand(3, -1, -1, -1), seed=1))
    found = pipeline.log_likelihood(given, given)
    assert not torch.allclose(found.nats, pipeline.log_likelihood(given, given.flip(0)).nats)


@pytest.mark.parametrize("kind", ["grey", "other", "labels"])
def test_a_saved_pipeline_makes_the_same_condition(kind: str, tmp_path: Path) -> None:
    pipeline = make(kind)
    copy = Pipeline.from_pretrained(pipeline.save_pretrained(tmp_path / "saved"))
    assert (tmp_path / "saved" / "condition-tokenizer").exists() == (kind == "other")
    if pipeline.grids is None:
        condition = torch.randint(4, (2, 8, 8))
        assert copy.grids is None
    else:
        condition = images(2)
        assert copy.grids is not None
        assert copy.grids.describe() == pipeline.grids.describe()
    assert torch.equal(copy.generate(2, condition, seed=4), pipeline.generate(2, condition, seed=4))


def test_another_tokenizer_of_the_condition_is_refused(tmp_path: Path) -> None:
    folder = make("other").save_pretrained(tmp_path / "saved")
    make_tiny_pipeline().tokenizer.save_pretrained(folder / "condition-tokenizer")
    with pytest.raises(ValueError, match="condition-tokenizer: the prior was trained on the codes of tokenizer"):
        Pipeline.from_pretrained(folder)


def test_of_several_draws_from_one_image_the_best_is_kept() -> None:
    pipeline, given = make("grey"), images(1)
    several = pipeline.generate(6, given, seed=2, batch_size=4)
    best = pipeline.generate(2, given, seed=2, best_of=3)
    for kept, drawn in zip(best, several.view(2, 3, 3, 64, 64), strict=True):
        assert any(torch.allclose(kept, each, atol=1e-4) for each in drawn)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("kind", ["grey", "other"])
def test_works_wholly_on_its_device(kind: str, device: str) -> None:
    pipeline = make(kind).to(device)
    assert pipeline.grids is not None
    assert pipeline.grids.device.type == device
    assert pipeline.generate(2, images(2), guidance=2.0).shape == (2, 3, 64, 64)
    assert pipeline.generate(2, images(2).to(device)).device.type == "cpu"


def test_guidance_moves_towards_the_condition() -> None:
    pipeline, given = make("grey"), images(2)
    assert not torch.equal(pipeline.generate(2, given, guidance=3.0), pipeline.generate(2, given))
    assert pipeline.compile().grids is pipeline.grids


def test_refuses_what_cannot_be_told() -> None:
    with pytest.raises(ValueError, match=r"not told a grid that is made of an image.*is a AlignedGridConditioner"):
        make("labels").generate(1, images(1))
    with pytest.raises(ValueError, match="expected images of 64 x 64 pixels as the condition, got 32 x 64"):
        make("grey").generate(1, images(1)[:, :, :32])
    with pytest.raises(ValueError, match="expected one condition, or one for each of 3 images, got 2"):
        make("grey").generate(3, images(2))
    with pytest.raises(ValueError, match=r"told a grid for each image \(a PrefixGridConditioner\), got 'cat'"):
        make("grey").generate(1, "cat")
    with pytest.raises(ValueError, match="draws images of the trained size, 64 x 64 pixels, got 96 x 64"):
        make("grey", "random-per-sample").generate_larger(1, height=96, width=64, condition=images(1))


def test_holes_are_filled_as_the_condition_says() -> None:
    pipeline, given = make("grey", "random-per-sample"), images(2)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:48, 16:48] = True
    filled = pipeline.inpaint(given, mask, given)
    assert torch.equal(filled[:, :, ~mask], given[:, :, ~mask])
    assert not torch.equal(filled, pipeline.inpaint(given, mask, given.flip(0)))
