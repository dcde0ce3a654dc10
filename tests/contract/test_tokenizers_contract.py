"""What every tokenizer body promises."""

import pytest
import torch

from vqgen.checkpoint import build, config_of
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, DVAEDecoder, DVAEEncoder, Encoder, Tokenizer, ViTDecoder, ViTEncoder

CONVOLUTIONAL = {"channels": 8, "multipliers": (1, 2, 2), "latent_channels": 8, "blocks": 1}
BODIES = {
    "vqgan": lambda c: (
        Encoder(c, **CONVOLUTIONAL, attention_at=(4,)),
        Decoder(c, **CONVOLUTIONAL, attention_at=(4,)),
    ),
    "vqgan-patch": lambda c: (
        Encoder(c, channels=8, multipliers=(1, 1), patch=2, latent_channels=8, blocks=1, attention_at=()),
        Decoder(c, channels=8, multipliers=(1, 1), patch=2, latent_channels=8, blocks=1, attention_at=()),
    ),
    "vit": lambda c: (
        ViTEncoder(c, patch=4, channels=16, depth=2, heads=2),
        ViTDecoder(c, patch=4, channels=16, depth=2, heads=2),
    ),
    "dvae": lambda c: (
        DVAEEncoder(c, channels=8, levels=3, blocks=1),
        DVAEDecoder(c, channels=8, levels=3, blocks=1, latent_channels=6),
    ),
}
DOWNSAMPLING = 4


@pytest.fixture(params=BODIES)
def make(request):
    def tokenizer(channels: int = 3, dim: int = 4) -> Tokenizer:
        torch.manual_seed(0)
        return Tokenizer(*BODIES[request.param](channels), EMAVectorQuantizer(16, dim, kmeans_start=False)).eval()

    return tokenizer


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 7), (3, 2), (5, 5)])
def test_every_size_that_the_downsampling_divides_works(make, h, w):
    tokenizer = make()
    images = torch.rand(2, 3, h * DOWNSAMPLING, w * DOWNSAMPLING) * 2 - 1
    codes = tokenizer.encode(images)
    assert tokenizer.downsampling == DOWNSAMPLING
    assert codes.shape == (2, h, w) == (2, *tokenizer.grid_size(images.shape[2:]))
    assert tokenizer.decode(codes).shape == images.shape
    assert tokenizer(images).images.shape == images.shape


def test_any_number_of_channels_works(make):
    tokenizer = make(channels=1)
    assert tokenizer.decode(tokenizer.encode(torch.zeros(1, 1, 8, 12))).shape == (1, 1, 8, 12)


def test_decoding_equals_the_forward_pass_clamped(make):
    tokenizer = make()
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    decoded = tokenizer.decode(tokenizer.encode(images))
    assert decoded.abs().max() <= 1
    assert torch.allclose(decoded, tokenizer(images).images.clamp(-1, 1), atol=1e-5)


def test_an_image_does_not_depend_on_its_batch(make):
    tokenizer = make()
    images = torch.rand(3, 3, 8, 12) * 2 - 1
    together, alone = tokenizer.encoder(images), torch.cat([tokenizer.encoder(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_gradients_reach_every_parameter(make):
    tokenizer = make().train()
    result = tokenizer(torch.rand(2, 3, 8, 8))
    likelihood = 0.0 if result.log_scale is None else result.log_scale.square().mean()
    (result.images.square().mean() + likelihood + result.quantizer_loss).backward()
    assert [name for name, p in tokenizer.named_parameters() if p.grad is None] == []


def test_latents_see_the_whole_of_their_patch(make):
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    make().encoder(images)[:, :, 1, 0].square().sum().backward()
    assert (images.grad[0, :, 4:, :4].abs().sum(0) > 0).all()


def test_encoder_and_decoder_work_in_bfloat16(make):
    tokenizer = make()
    encoder, decoder = tokenizer.encoder.bfloat16(), tokenizer.decoder.bfloat16()
    latents = encoder(torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16))
    assert latents.dtype == torch.bfloat16
    images = decoder(torch.zeros(1, decoder.latent_channels, 2, 2, dtype=torch.bfloat16))
    assert images.shape == (1, 3, 8, 8)
    assert images.isfinite().all()


def test_a_body_is_built_again_from_its_description(make):
    tokenizer = make()
    again = build(config_of(tokenizer)).eval()
    again.load_state_dict(tokenizer.state_dict())
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(again.decode(again.encode(images)), tokenizer.decode(tokenizer.encode(images)))
    assert again.fingerprint() == tokenizer.fingerprint()


def test_an_indivisible_size_is_refused(make):
    with pytest.raises(ValueError, match=r"divisible by the tokenizer's downsampling 4, got 10 x 8; use 8 x 8"):
        make().encode(torch.zeros(1, 3, 10, 8))
