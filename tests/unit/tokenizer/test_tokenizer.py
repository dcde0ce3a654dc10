"""The tokenizer: sizes, ranges, and what it refuses."""

import pytest
import torch
from torch.nn import functional as F

from vqgen.quantizers import EMAVectorQuantizer, ResidualQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer, grid_size
from vqgen.tokenizer.blocks import group_norm


def make_tokenizer(dim: int = 4, **size) -> Tokenizer:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8, "blocks": 1, "attention_at": (), **size}
    return Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(16, dim)).eval()


@pytest.mark.parametrize(
    ("size", "downsampling"),
    [
        ({"multipliers": (1,)}, 1),
        ({"multipliers": (1, 2)}, 2),
        ({"multipliers": (1, 1, 2, 2, 4)}, 16),
        ({"multipliers": (1, 2), "patch": 4}, 8),
        ({"multipliers": (1, 2), "attention_at": (1, 2)}, 2),
        ({"multipliers": (1, 2), "middle_attention": False}, 2),
    ],
)
def test_any_downsampling_and_non_square_images(size, downsampling):
    tokenizer = make_tokenizer(**size)
    images = torch.rand(2, 3, 2 * downsampling, 3 * downsampling) * 2 - 1
    codes = tokenizer.encode(images)
    assert tokenizer.downsampling == downsampling
    assert codes.shape == (2, 2, 3)
    assert tokenizer.decode(codes).shape == images.shape
    assert tokenizer(images).images.shape == images.shape


def test_decoded_images_are_in_range_and_equal_the_forward_pass():
    tokenizer = make_tokenizer()
    images = torch.randn(2, 3, 8, 8) * 3
    decoded = tokenizer.decode(tokenizer.encode(images))
    assert decoded.abs().max() <= 1
    assert torch.allclose(decoded, tokenizer(images).images.clamp(-1, 1), atol=1e-5)


def test_gradients_reach_every_parameter():
    tokenizer = make_tokenizer(attention_at=(2,)).train()
    tokenizer(torch.rand(2, 3, 8, 8))  # places the codebook
    result = tokenizer(torch.rand(2, 3, 8, 8))
    (result.images.square().mean() + result.quantizer_loss).backward()
    assert [name for name, p in tokenizer.named_parameters() if p.grad is None] == []


def test_grey_images_work_with_one_channel():
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(in_channels=1, **size), Decoder(out_channels=1, **size), EMAVectorQuantizer(16, 4))
    assert tokenizer.decode(tokenizer.encode(torch.zeros(1, 1, 4, 4))).shape == (1, 1, 4, 4)


def test_an_indivisible_size_is_refused_with_the_nearest_that_fits():
    with pytest.raises(ValueError, match=r"divisible by the tokenizer's downsampling 2, got 7 x 8; use 8 x 8"):
        make_tokenizer().encode(torch.zeros(1, 3, 7, 8))


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match="expected images with 3 channels, got 1"):
        make_tokenizer().encode(torch.zeros(1, 1, 8, 8))


def test_encoder_and_decoder_that_do_not_fit_are_refused():
    encoder, decoder = Encoder(channels=8, multipliers=(1, 2)), Decoder(channels=8, multipliers=(1,))
    with pytest.raises(ValueError, match="divides the image side by 2 and the decoder multiplies it by 1"):
        Tokenizer(encoder, decoder, EMAVectorQuantizer(16, 4))


@pytest.mark.parametrize("arguments", [{"channels": 0}, {"blocks": 0}, {"multipliers": ()}, {"multipliers": (1, 0)}])
@pytest.mark.parametrize("part", [Encoder, Decoder])
def test_impossible_sizes_are_refused(part, arguments):
    with pytest.raises(ValueError, match="channels, blocks and every multiplier must be >= 1"):
        part(**{"channels": 8, **arguments})


@pytest.mark.parametrize("part", [Encoder, Decoder])
def test_a_patch_that_is_no_power_of_two_is_refused(part):
    with pytest.raises(ValueError, match="patch must be a power of two, got 3"):
        part(channels=8, patch=3)


def test_grid_size_divides():
    assert grid_size((32, 48), 16) == (2, 3)


def test_attention_sits_where_it_was_asked_for():
    encoder = Encoder(channels=8, multipliers=(1, 1, 2), attention_at=(2,), middle_attention=False)
    kinds = [[type(layer).__name__ for layer in level] for level in encoder.attention]
    assert kinds == [["Identity"] * 2, ["SpatialAttention"] * 2, ["Identity"] * 2]


def test_the_codebook_holds_the_latent_of_every_code():
    tokenizer = make_tokenizer(dim=3)
    codebook = tokenizer.codebook()
    assert codebook.shape == (16, 3)
    assert torch.equal(codebook[5], tokenizer.quantizer.lookup(torch.tensor([[[5]]]))[0, :, 0, 0])


def test_a_residual_tokenizer_has_no_one_codebook():
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8, "blocks": 1, "attention_at": ()}
    residual = ResidualQuantizer(EMAVectorQuantizer(16, 4), depth=2)
    with pytest.raises(ValueError, match="expected one code a cell, got 2"):
        Tokenizer(Encoder(**size), Decoder(**size), residual).codebook()


@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_group_norm_in_bf16_is_torchs_up_to_rounding(side: int, weights: torch.dtype) -> None:
    norm = group_norm(12).to(weights)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 12, side, side).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    exact = x.double().requires_grad_()
    expected = F.group_norm(exact, norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
    x.requires_grad_()
    found = norm(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0.02)
    given = torch.randn_like(expected).bfloat16()
    found.backward(given)
    expected.backward(given.double())
    assert x.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(x.grad.double(), exact.grad, atol=0.05, rtol=0.05)
