import re

import pytest
import torch

from vqgen.conditioning import GridOfImages, image_transform
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


def test_grey_images_stay_and_colours_of_one_luma_become_one() -> None:
    grey = image_transform("grey")
    flat = torch.full((1, 3, 2, 2), 0.25)
    torch.testing.assert_close(grey(flat), flat)
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(grey(grey(images)), grey(images))
    green, blue = torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    green[:, 1], blue[:, 2] = 0.114, 0.587
    torch.testing.assert_close(grey(green), grey(blue))
    assert torch.equal(grey(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))


def test_low_resolution_keeps_means_and_drops_detail() -> None:
    detail = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 3, 8, 8)
    assert image_transform("low-resolution:2")(detail).abs().max() < 1e-6
    assert torch.equal(image_transform("low-resolution:1")(detail), detail)
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    low = image_transform("low-resolution:4")(images)
    assert low.shape == images.shape
    assert low.abs().max() <= 1
    torch.testing.assert_close(low.mean((2, 3)), images.mean((2, 3)), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", ["gray", "low-resolution", "low-resolution:0", "low-resolution:x", "grey:2", ""])
def test_unknown_transforms_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"such as low-resolution:4, got {name!r}")):
        image_transform(name)


def test_low_resolution_refuses_a_factor_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match="a factor that divides 8 x 8 pixels, got low-resolution:3"):
        image_transform("low-resolution:3")(torch.zeros(1, 3, 8, 8))


def test_grids_are_the_tokenizers_codes_of_the_changed_image() -> None:
    torch.manual_seed(0)
    body = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=16, dim=4)).eval()
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    grids = GridOfImages(tokenizer, "grey")
    assert torch.equal(grids.encode(images), tokenizer.encode(image_transform("grey")(images)))
    assert (grids.codebook_size, grids.downsampling, grids.depth) == (16, 2, 1)
    assert grids.describe() == {"transform": "grey", "tokenizer": tokenizer.fingerprint()}
    assert grids.fingerprint() != GridOfImages(tokenizer, "same").fingerprint() != tokenizer.fingerprint()
