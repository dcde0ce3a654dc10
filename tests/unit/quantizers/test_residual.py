"""Residual quantization: depths as extra rows of the grid, each on what is left."""

import pytest
import torch

from vqgen.orders import scan_order
from vqgen.quantizers import (
    EMAVectorQuantizer,
    FiniteScalarQuantizer,
    ResidualQuantizer,
    SimVectorQuantizer,
    VectorQuantizer,
    nearest_codes,
)


def layers(quantizer: ResidualQuantizer) -> list:
    return [quantizer.quantizer, *quantizer.further]


def separate(depth: int) -> ResidualQuantizer:
    """Own random codebooks, each finer than the one before."""
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(VectorQuantizer(8, 3, commitment=0.5, kmeans_start=False, restart_below=0.0), depth)
    for index, layer in enumerate(layers(quantizer)):
        layer.codebook.data.copy_(torch.randn(8, 3) * 0.5**index)
    return quantizer


def test_codes_equal_a_loop_and_stand_depth_below_depth():
    quantizer = separate(3).eval()
    latents = torch.randn(2, 3, 4, 5)
    codes = quantizer.encode(latents)
    rest = latents.movedim(1, -1).reshape(-1, 3)
    for index, layer in enumerate(layers(quantizer)):
        expected = nearest_codes(rest, layer.codebook.detach())
        assert torch.equal(codes[:, 4 * index : 4 * index + 4].flatten(), expected)
        rest = rest - layer.codebook.detach()[expected]


def test_raster_order_draws_the_whole_image_coarsely_first():
    quantizer = separate(3).eval()
    latents = torch.randn(1, 3, 4, 5)
    codes = quantizer.encode(latents)
    sequence = scan_order("raster", height=12, width=5).scan(codes)
    assert torch.equal(sequence[:, :20].view(1, 4, 5), quantizer.quantizer.encode(latents))


def test_every_depth_comes_nearer():
    latents = torch.randn(2, 3, 8, 8)
    errors = []
    for depth in (1, 2, 3):
        quantizer = separate(depth).eval()
        errors.append((quantizer(latents).latents - latents).square().mean().item())
    assert errors[0] > errors[1] > errors[2]


def test_loss_is_the_sum_over_depths():
    quantizer = separate(3)
    latents = torch.randn(2, 3, 4, 4)
    out = quantizer(latents)
    rest, expected = latents, 0.0
    for part, layer in zip(out.codes.chunk(3, dim=1), layers(quantizer), strict=True):
        vectors = layer.lookup(part).detach()
        expected += 1.5 * (rest - vectors).square().mean().item()
        rest = rest - vectors
    assert out.loss.item() == pytest.approx(expected, rel=1e-5)


def test_commitment_draws_the_latents_to_every_partial_sum():
    quantizer = separate(2)
    latents = torch.randn(2, 3, 4, 4, requires_grad=True)
    out = quantizer(latents)
    (found,) = torch.autograd.grad(out.loss, latents)
    partial = torch.stack(
        [layer.lookup(part) for part, layer in zip(out.codes.chunk(2, 1), layers(quantizer), strict=True)]
    )
    expected = sum(0.5 * 2 / latents.numel() * (latents - total) for total in partial.cumsum(0))
    assert torch.allclose(found, expected.detach(), atol=1e-6)


def test_a_shared_codebook_is_one():
    shared = ResidualQuantizer(EMAVectorQuantizer(8, 3), depth=3, shared=True)
    own = ResidualQuantizer(EMAVectorQuantizer(8, 3), depth=3)
    assert sum("codebook" in name for name in shared.state_dict()) == 1
    assert sum("codebook" in name for name in own.state_dict()) == 3
    out = shared(torch.randn(2, 3, 4, 4))
    assert out.codes.shape == (2, 12, 4)
    assert out.latents.isfinite().all()


def test_codebooks_of_the_depths_part_when_they_learn():
    quantizer = ResidualQuantizer(EMAVectorQuantizer(8, 3, kmeans_start=False), depth=2)
    assert torch.equal(layers(quantizer)[0].codebook, layers(quantizer)[1].codebook)
    quantizer(torch.randn(4, 3, 4, 4))
    assert not torch.equal(layers(quantizer)[0].codebook, layers(quantizer)[1].codebook)


def test_a_grid_that_does_not_divide_is_an_error():
    with pytest.raises(ValueError, match="height is a multiple of the depth 3, got 4 x 5"):
        separate(3).lookup(torch.zeros(1, 4, 5, dtype=torch.int64))


def test_quantizers_whose_latents_cannot_be_summed_are_refused():
    with pytest.raises(TypeError, match="whose latents can be summed, got a FiniteScalarQuantizer"):
        ResidualQuantizer(FiniteScalarQuantizer((8, 5)))
    with pytest.raises(ValueError, match="without l2_normalise"):
        ResidualQuantizer(EMAVectorQuantizer(8, 3, l2_normalise=True))
    with pytest.raises(ValueError, match="depth must be >= 1, got 0"):
        ResidualQuantizer(SimVectorQuantizer(8, 3), depth=0)
