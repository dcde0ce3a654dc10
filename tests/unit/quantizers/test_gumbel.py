"""The Gumbel quantizer: its draws, its schedule, its divergence."""

import math

import pytest
import torch
from torch.nn import functional as F

from vqgen.quantizers import GumbelQuantizer


def test_training_draws_codes_as_often_as_their_probability():
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(3, temperature_start=0.7)
    logits = torch.tensor([0.0, 1.0, -1.0])
    codes = quantizer(logits.view(1, 3, 1, 1).expand(1, 3, 200, 200)).codes
    shares = codes.flatten().bincount(minlength=3) / codes.numel()
    assert torch.allclose(shares, logits.softmax(0), atol=0.01)


def test_evaluation_draws_nothing():
    quantizer = GumbelQuantizer(8).eval()
    logits = torch.randn(2, 8, 3, 3)
    assert torch.equal(quantizer(logits).codes, logits.argmax(1))


@pytest.mark.parametrize("hard", [False, True])
def test_gradient_in_training_is_that_of_the_relaxed_draw(hard):
    quantizer = GumbelQuantizer(8, temperature_start=0.5, hard=hard)
    logits = torch.randn(2, 8, 3, 3, requires_grad=True)
    weights = torch.randn_like(logits)
    torch.manual_seed(1)
    out = quantizer(logits)
    (out.latents * weights).sum().backward()
    torch.manual_seed(1)
    noise = -torch.empty_like(logits).exponential_().log()
    reference = logits.detach().clone().requires_grad_(True)
    soft = F.softmax((reference + noise) / 0.5, dim=1)
    (soft * weights).sum().backward()
    assert torch.allclose(logits.grad, reference.grad, atol=1e-6)
    expected = F.one_hot(soft.argmax(1), 8).movedim(-1, 1).float() if hard else soft
    assert torch.allclose(out.latents, expected, atol=1e-6)


def test_loss_is_the_divergence_from_equal_shares():
    logits = torch.randn(2, 8, 3, 3)
    uniform = torch.full_like(logits, 1 / 8).log()
    expected = F.kl_div(uniform, logits.log_softmax(1), log_target=True, reduction="none").sum(1).mean()
    found = GumbelQuantizer(8, kl_weight=0.3).eval()(logits).loss
    assert found.item() == pytest.approx(0.3 * expected.item(), rel=1e-5)


def test_loss_of_equal_logits_is_zero_and_of_one_code_log_k():
    quantizer = GumbelQuantizer(8, kl_weight=1.0)
    assert quantizer(torch.zeros(1, 8, 2, 2)).loss.item() == pytest.approx(0.0, abs=1e-6)
    sure = torch.zeros(1, 8, 2, 2)
    sure[:, 3] = 1000.0
    assert quantizer(sure).loss.item() == pytest.approx(math.log(8))


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (1.0, 1.0)])
def test_the_weight_of_the_divergence_rises_along_a_line_when_asked(progress, share):
    logits, ramped = torch.randn(2, 8, 3, 3), GumbelQuantizer(8, kl_weight=0.3, kl_ramp_until=0.2)
    ramped.set_progress(progress)
    whole = GumbelQuantizer(8, kl_weight=0.3)(logits).loss
    assert ramped(logits).loss.item() == pytest.approx(share * whole.item(), rel=1e-5)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 1.0), (0.25, 0.55), (0.5, 0.1), (1.0, 0.1)])
def test_temperature_falls_along_a_cosine_and_stays(progress, expected):
    quantizer = GumbelQuantizer(8, temperature_start=1.0, temperature_end=0.1, anneal_until=0.5)
    quantizer.set_progress(progress)
    assert quantizer.temperature == pytest.approx(expected)


def test_temperature_is_used():
    quantizer = GumbelQuantizer(8, temperature_end=0.01, hard=False)
    logits = torch.randn(2, 8, 3, 3)
    torch.manual_seed(0)
    warm = quantizer(logits).latents.amax(1).mean()
    quantizer.set_progress(1.0)
    torch.manual_seed(0)
    assert quantizer(logits).latents.amax(1).mean() > warm + 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codebook_size": 1}, "codebook_size must be >= 2, got 1"),
        ({"codebook_size": 8, "temperature_end": 0.0}, "temperature_end must be > 0, got 1.0 and 0.0"),
        ({"codebook_size": 8, "anneal_until": 0.0}, "anneal_until must be in"),
        ({"codebook_size": 8, "kl_weight": -1.0}, "kl_weight must be >= 0"),
        ({"codebook_size": 8, "kl_ramp_until": 0.0}, "kl_ramp_until must be in"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GumbelQuantizer(**arguments)
