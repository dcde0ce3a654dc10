"""What the quantizers with a codebook of their own promise besides: k-means start and restart of dead codes."""

import math

import pytest
import torch
from torch.nn import functional as F

from vqgen.quantizers import EMAVectorQuantizer, NearestNeighbourQuantizer, ResidualQuantizer, VectorQuantizer

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


def test_kmeans_start_spreads_the_codebook_over_the_latents(make):
    quantizer = make(restart_below=0.0)
    directions = torch.eye(4).repeat(2, 1) * torch.tensor([1.0] * 4 + [-1.0] * 4)[:, None]
    latents = directions.repeat(32, 1).view(4, 8, 8, 4).movedim(-1, 1) * 3 + torch.randn(4, 4, 8, 8) * 0.01
    quantizer(latents)
    quantizer.eval()
    target = F.normalize(latents, dim=1) if quantizer.l2_normalise else latents
    error = (quantizer.lookup(quantizer.encode(latents)) - target).square().mean()
    assert error < 0.05 * target.square().mean()


def test_dead_codes_come_back_to_life(make):
    quantizer: NearestNeighbourQuantizer = make(kmeans_start=False, restart_below=0.1, usage_decay=0.5)
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


def test_every_depth_of_a_residual_quantizer_starts_where_its_latents_are():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(EMAVectorQuantizer(16, 4, restart_below=0.0), depth=3)
    latents = torch.randn(16, 4, 8, 8)
    quantizer(latents)
    quantizer.eval()
    codes = quantizer.encode(latents)
    errors = []
    for depth in range(1, 4):
        parts = codes.chunk(3, dim=1)[:depth]
        layers = [quantizer.quantizer, *quantizer.further][:depth]
        total = sum(layer.lookup(part) for layer, part in zip(layers, parts, strict=True))
        errors.append((latents - total).square().mean().item())
    assert errors[0] > 1.5 * errors[1] > 1.5**2 * errors[2]
