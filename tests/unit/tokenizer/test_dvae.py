"""The body of DALL-E's discrete VAE."""

import pytest
import torch
from torch.nn import functional as F

from vqgen.tokenizer import DVAEDecoder, DVAEEncoder
from vqgen.tokenizer.dvae_blocks import BottleneckBlock


@pytest.mark.parametrize("out_channels", [8, 16])
def test_block_equals_its_definition(out_channels):
    torch.manual_seed(0)
    block, x = BottleneckBlock(8, out_channels, kernels=(3, 3, 3, 1), gain=0.25), torch.randn(1, 8, 5, 5)
    out = x
    for layer, padding in zip(block.convolutions, (1, 1, 1, 0), strict=True):
        out = F.conv2d(out.clamp(min=0), layer.weight, layer.bias, padding=padding)
    shortcut = x if out_channels == 8 else F.conv2d(x, block.shortcut.weight, block.shortcut.bias)
    assert torch.allclose(block(x), shortcut + 0.25 * out, atol=1e-6)


def test_images_are_the_mean_of_the_distribution_within_its_range():
    torch.manual_seed(0)
    decoder = DVAEDecoder(channels=8, levels=2, blocks=1, latent_channels=4)
    with torch.no_grad():
        decoder.conv_out.weight.mul_(100)
    images, log_scale = decoder.distribution(torch.randn(1, 4, 3, 3) * 10)
    assert images.shape == log_scale.shape == (1, 3, 6, 6)
    assert 1.2 < images.abs().max() <= 1.25
    assert torch.equal(decoder(torch.zeros(1, 4, 3, 3)), decoder.distribution(torch.zeros(1, 4, 3, 3))[0])


def test_a_location_of_zero_is_grey():
    decoder = DVAEDecoder(channels=8, levels=1, blocks=1, latent_channels=4)
    with torch.no_grad():
        decoder.conv_out.weight.zero_()
    assert torch.equal(decoder(torch.randn(1, 4, 2, 2)), torch.zeros(1, 3, 2, 2))


def test_depth_does_not_make_the_output_large():
    torch.manual_seed(0)
    latents = DVAEEncoder(channels=8, levels=3, blocks=4)(torch.rand(1, 3, 16, 16) * 2 - 1)
    assert 0.1 < latents.square().mean().sqrt() < 10


@pytest.mark.parametrize("part", [DVAEEncoder, DVAEDecoder])
@pytest.mark.parametrize("arguments", [{"channels": 6}, {"channels": 0}, {"levels": 0}, {"blocks": 0}])
def test_impossible_sizes_are_refused(part, arguments):
    with pytest.raises(ValueError, match="channels must be a positive multiple of 4, levels and blocks >= 1"):
        part(**{"channels": 8, **arguments})
