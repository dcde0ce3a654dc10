"""The logit-Laplace loss against its definition, and with the decoder that says its scale."""

import math

import pytest
import torch

from vqgen.losses import LogitLaplaceLoss
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import DVAEDecoder, DVAEEncoder, Tokenizer


def reference(reconstruction: float, image: float, scale: float) -> float:
    """-log f(x) as the paper writes it, for one pixel."""
    x, centre = 0.8 * (image + 1) / 2 + 0.1, 0.8 * (reconstruction + 1) / 2 + 0.1
    distance = abs(math.log(x / (1 - x)) - math.log(centre / (1 - centre)))
    return -math.log(1 / (2 * scale * x * (1 - x)) * math.exp(-distance / scale))


def test_loss_equals_the_definition():
    pixels = [(-1.0, 1.0, 0.5), (0.3, 0.2, 2.0), (1.1, 1.0, 0.1), (0.0, -0.5, 1.0)]
    reconstructions, images, scales = (torch.tensor(each).view(1, 1, 2, 2) for each in zip(*pixels, strict=True))
    found = LogitLaplaceLoss()(reconstructions, images, scales.log())
    assert found.item() == pytest.approx(sum(reference(*each) for each in pixels) / 4, rel=1e-5)


def test_the_density_integrates_to_one():
    x = torch.linspace(1e-4, 1 - 1e-4, 20001, dtype=torch.float64)
    pixels = ((x - 0.1) / 0.8 * 2 - 1).view(-1, 1, 1, 1).float()
    loss = LogitLaplaceLoss()
    likelihoods = [
        math.exp(-loss(torch.full((1, 1, 1, 1), 0.2), p[None], torch.zeros(1, 1, 1, 1)).item()) for p in pixels[::20]
    ]
    assert torch.trapezoid(torch.tensor(likelihoods, dtype=torch.float64), x[::20]).item() == pytest.approx(1, abs=0.01)


def test_without_a_scale_the_best_one_of_the_batch_is_taken():
    torch.manual_seed(0)
    reconstructions, images = torch.rand(2, 3, 4, 4) * 2 - 1, torch.rand(2, 3, 4, 4) * 2 - 1
    loss = LogitLaplaceLoss()
    best = loss(reconstructions, images)
    others = [loss(reconstructions, images, torch.full_like(images, value)) for value in torch.linspace(-3, 3, 61)]
    assert best <= min(others) + 1e-6
    assert best == pytest.approx(min(others).item(), abs=0.01)


def test_extreme_pixels_and_perfect_reconstructions_are_finite():
    images = torch.tensor([-1.0, 1.0, 0.0, 1.0]).view(1, 1, 2, 2)
    reconstructions = torch.tensor([-1.25, 1.25, 0.0, 50.0]).view(1, 1, 2, 2).requires_grad_()
    loss = LogitLaplaceLoss()(reconstructions, images)
    loss.backward()
    assert loss.isfinite()
    assert reconstructions.grad.isfinite().all()
    assert LogitLaplaceLoss()(images, images).isfinite()


def test_half_precision_is_compared_in_fp32():
    assert LogitLaplaceLoss()(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16), torch.zeros(1, 1, 2, 2)).dtype == (
        torch.float32
    )


def test_the_scale_that_a_decoder_says_reaches_the_loss():
    torch.manual_seed(0)
    size = {"channels": 8, "levels": 2, "blocks": 1}
    tokenizer = Tokenizer(DVAEEncoder(**size), DVAEDecoder(**size, latent_channels=4), EMAVectorQuantizer(16, 4))
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=1e-2)
    images = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).expand(2, 3, 8, 8)
    losses = []
    for _ in range(30):
        result = tokenizer(images)
        loss = LogitLaplaceLoss()(result.images, images, result.log_scale) + result.quantizer_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert tokenizer.decoder.conv_out.weight.grad[3:].abs().sum() > 0
    assert losses[-1] < losses[0] - 0.3
