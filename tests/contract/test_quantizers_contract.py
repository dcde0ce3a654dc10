"""What every quantizer promises."""

import math

import pytest
import torch

from vqgen.quantizers import EMAVectorQuantizer, Quantizer, VectorQuantizer

QUANTIZERS = {
    "vector": lambda **k: VectorQuantizer(16, 4, **k),
    "vector-l2": lambda **k: VectorQuantizer(16, 4, l2_normalise=True, **k),
    "ema": lambda **k: EMAVectorQuantizer(16, 4, **k),
    "ema-l2": lambda **k: EMAVectorQuantizer(16, 4, l2_normalise=True, **k),
}


@pytest.fixture(params=QUANTIZERS)
def make(request):
    torch.manual_seed(0)
    return QUANTIZERS[request.param]


def test_codes_are_in_range_and_shapes_fit(make):
    quantizer: Quantizer = make()
    out = quantizer(torch.randn(3, 4, 2, 5))
    assert out.codes.shape == (3, 2, 5)
    assert out.latents.shape == (3, 4, 2, 5)
    assert out.codes.dtype == torch.int64
    assert 0 <= int(out.codes.min()) <= int(out.codes.max()) < 16
    assert out.loss.shape == ()


def test_codes_to_latents_to_codes_is_the_identity(make):
    quantizer = make(kmeans_start=False).eval()
    codes = torch.arange(16).view(1, 4, 4)
    assert torch.equal(quantizer.encode(quantizer.lookup(codes)), codes)


def test_forward_and_encode_agree_in_evaluation(make):
    quantizer = make().eval()
    latents = torch.randn(2, 4, 3, 3)
    out = quantizer(latents)
    assert torch.equal(out.codes, quantizer.encode(latents))
    assert torch.allclose(out.latents, quantizer.lookup(out.codes), atol=1e-6)


def test_gradient_passes_straight_through(make):
    quantizer = make(commitment=0.0, kmeans_start=False).eval()
    latents = torch.randn(2, 4, 3, 3, requires_grad=True)
    weights = torch.randn(2, 4, 3, 3)
    (quantizer(latents).latents * weights).sum().backward()
    if quantizer.l2_normalise:
        # Straight through the quantizer, then through the normalisation.
        reference = latents.detach().clone().requires_grad_(True)
        (torch.nn.functional.normalize(reference, dim=1) * weights).sum().backward()
        assert torch.allclose(latents.grad, reference.grad, atol=1e-6)
    else:
        assert torch.equal(latents.grad, weights)


def test_computes_in_fp32_inside_autocast(make):
    quantizer = make(kmeans_start=False).eval()
    latents = torch.randn(4, 4, 4, 4)
    expected = quantizer(latents)
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(latents)
    assert found.latents.dtype == torch.float32
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.loss, expected.loss)


def test_half_precision_latents_are_quantized_in_fp32(make):
    quantizer = make(kmeans_start=False).eval()
    assert quantizer(torch.randn(1, 4, 2, 2, dtype=torch.bfloat16)).latents.dtype == torch.float32


def test_results_do_not_depend_on_the_batch(make):
    quantizer = make(kmeans_start=False).eval()
    latents = torch.randn(6, 4, 3, 3)
    together = quantizer.encode(latents)
    apart = torch.cat([quantizer.encode(one) for one in latents.split(1)])
    assert torch.equal(together, apart)


def test_kmeans_start_spreads_the_codebook_over_the_latents(make):
    quantizer = make(restart_below=0.0)
    directions = torch.eye(4).repeat(2, 1) * torch.tensor([1.0] * 4 + [-1.0] * 4)[:, None]
    latents = directions.repeat(32, 1).view(4, 8, 8, 4).movedim(-1, 1) * 3 + torch.randn(4, 4, 8, 8) * 0.01
    quantizer(latents)
    quantizer.eval()
    target = torch.nn.functional.normalize(latents, dim=1) if quantizer.l2_normalise else latents
    error = (quantizer.lookup(quantizer.encode(latents)) - target).square().mean()
    assert error < 0.05 * target.square().mean()


def test_dead_codes_come_back_to_life(make):
    quantizer = make(kmeans_start=False, restart_below=0.1, usage_decay=0.5)
    with torch.no_grad():
        quantizer.codebook.copy_(torch.cat([torch.randn(1, 4), torch.full((15, 4), 100.0) + torch.randn(15, 4)]))
    if quantizer.l2_normalise:
        with torch.no_grad():
            quantizer.codebook[0] = -1
    latents = torch.randn(8, 4, 4, 4)
    if quantizer.l2_normalise:
        latents = -latents.abs()
    for _ in range(20):
        quantizer(latents)
    assert quantizer.eval().encode(latents).unique().numel() >= 12


def test_restarts_can_be_switched_off(make):
    quantizer = make(kmeans_start=False, restart_below=0.0, commitment=0.0)
    usage = quantizer.usage.clone()
    quantizer(torch.randn(2, 4, 3, 3))
    assert torch.equal(quantizer.usage, usage)


def test_wrong_width_is_an_error(make):
    with pytest.raises(ValueError, match="expected latents of width 4, got 5"):
        make()(torch.randn(1, 5, 2, 2))


@pytest.mark.parametrize("code", [-1, 16])
def test_codes_out_of_range_are_an_error(make, code):
    with pytest.raises(ValueError, match=r"codes must be in \[0, 16\)"):
        make().lookup(torch.full((1, 1, 1), code))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"commitment": -1.0}, "commitment and restart_below must be >= 0"),
        ({"usage_decay": 1.0}, "usage_decay must be in"),
        ({"restart_below": -0.1}, "restart_below must be >= 0"),
    ],
)
def test_impossible_arguments_are_errors(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_fewer_latents_than_codes_can_start(make):
    quantizer = make()
    quantizer(torch.randn(1, 4, 1, 2))
    assert all(math.isfinite(value) for value in quantizer.codebook.flatten().tolist())
