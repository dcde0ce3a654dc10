"""Codes, latents, losses and gradients against vector-quantize-pytorch's, with the same weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers import (
    EMAVectorQuantizer,
    FiniteScalarQuantizer,
    LookupFreeQuantizer,
    ResidualQuantizer,
    SimVectorQuantizer,
    VectorQuantizer,
)

peer = pytest.importorskip("vector_quantize_pytorch", reason="needs vector-quantize-pytorch, of the extra `dev`")

K, D = 32, 6


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pair_of_latents(dim: int = D) -> tuple[Tensor, Tensor]:
    latents = torch.randn(3, dim, 4, 5)
    return latents.clone().requires_grad_(True), latents.clone().requires_grad_(True)


def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    assert torch.allclose(found, expected, atol=atol), float((found - expected).abs().max())


def peer_quantizer(**options):
    return peer.VectorQuantize(dim=D, codebook_size=K, accept_image_fmap=True, rotation_trick=False, **options)


def test_vector_quantizer():
    # There one mean squared error pulls both ways: here the codebook and the commitment term, each weighted 0.7.
    ours = VectorQuantizer(K, D, codebook_weight=0.7, commitment=0.7, kmeans_start=False)
    theirs = peer_quantizer(learnable_codebook=True, ema_update=False, commitment_weight=0.7)
    theirs.codebook.data.copy_(ours.codebook.data)
    mine, other = pair_of_latents()
    out = ours(mine)
    quantized, codes, loss = theirs(other)
    assert torch.equal(out.codes, codes)
    close(out.latents, quantized)
    close(out.loss, 2 * loss)
    weights = torch.randn_like(mine)
    ((out.latents * weights).sum() + out.loss).backward()
    ((quantized * weights).sum() + loss).sum().backward()
    close(mine.grad, other.grad)
    # There the chosen vectors get the gradient of the loss alone, as here.
    close(ours.codebook.grad, theirs._codebook.embed.grad[0])


@pytest.mark.parametrize("l2_normalise", [False, True])
def test_ema_quantizer_over_three_steps(l2_normalise):
    ours = EMAVectorQuantizer(
        K, D, decay=0.8, commitment=0.3, l2_normalise=l2_normalise, kmeans_start=False, restart_below=0.0
    )
    theirs = peer_quantizer(decay=0.8, commitment_weight=0.3, use_cosine_sim=l2_normalise)
    start = F.normalize(ours.codebook, dim=1) if l2_normalise else ours.codebook
    with torch.no_grad():
        for mine in (ours.codebook, ours.sums):
            mine.copy_(start)
        theirs._codebook.embed.copy_(start[None])
        theirs._codebook.embed_avg.copy_(start[None])
    for _ in range(3):
        mine, other = pair_of_latents()
        out = ours(mine)
        quantized, codes, loss = theirs(other)
        assert torch.equal(out.codes, codes)
        close(out.latents, quantized)
        close(out.loss, loss)
        (out.latents.square().sum() + out.loss).backward()
        (quantized.square().sum() + loss).sum().backward()
        close(mine.grad, other.grad)
    vectors = ours.lookup(torch.arange(K).view(1, 1, K))[0, :, 0].t()
    close(vectors, theirs.codebook)
    close(ours.counts, theirs._codebook.cluster_size[0])


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (8, 6, 5), (7, 4, 3)])
def test_finite_scalar_quantizer(levels):
    ours, theirs = FiniteScalarQuantizer(levels), peer.FSQ(list(levels))
    mine, other = pair_of_latents(len(levels))
    out = ours(mine)
    quantized, codes = theirs(other)
    assert torch.equal(out.codes, codes.long())
    close(out.latents, quantized)
    weights = torch.randn_like(mine)
    (out.latents * weights).sum().backward()
    (quantized * weights).sum().backward()
    close(mine.grad, other.grad)
    every = torch.arange(ours.codebook_size).view(1, 1, -1)
    close(ours.lookup(every), theirs.indices_to_codes(every))


@pytest.mark.parametrize("diversity", [1.0, 0.5])
def test_lookup_free_quantizer(diversity):
    # A mild temperature: the peer leaves probabilities below 1e-5 out of its entropies.
    ours = LookupFreeQuantizer(
        64, entropy_weight=0.4, diversity=diversity, commitment=0.3, entropy_temperature=4.0
    ).train()
    theirs = peer.LFQ(
        codebook_size=64, entropy_loss_weight=0.4, commitment_loss_weight=0.3, diversity_gamma=diversity
    ).train()
    mine, other = pair_of_latents(6)
    out = ours(mine)
    quantized, codes, loss = theirs(other, inv_temperature=0.25)
    assert torch.equal(out.codes, codes.long())
    close(out.latents, quantized)
    close(out.loss, loss)
    weights = torch.randn_like(mine)
    ((out.latents * weights).sum() + out.loss).backward()
    ((quantized * weights).sum() + loss).backward()
    close(mine.grad, other.grad)
    every = torch.arange(64).view(1, 8, 8)
    close(ours.lookup(every), theirs.indices_to_codes(every))


def test_sim_quantizer():
    ours = SimVectorQuantizer(K, D, codebook_weight=1.0, commitment=0.25)
    theirs = peer.SimVQ(dim=D, codebook_size=K, channel_first=True, rotation_trick=False)
    theirs.frozen_codebook.copy_(ours.fixed)
    theirs.code_transform.load_state_dict(ours.transform.state_dict())
    mine, other = pair_of_latents()
    out = ours(mine)
    quantized, codes, loss = theirs(other)
    assert torch.equal(out.codes, codes)
    close(out.latents, quantized)
    close(out.loss, loss)
    weights = torch.randn_like(mine)
    ((out.latents * weights).sum() + out.loss).backward()
    ((quantized * weights).sum() + loss).backward()
    close(mine.grad, other.grad)
    close(ours.transform.weight.grad, theirs.code_transform.weight.grad)


def test_residual_quantizer():
    depth = 3
    ours = ResidualQuantizer(EMAVectorQuantizer(K, D, commitment=0.3, kmeans_start=False, restart_below=0.0), depth)
    theirs = peer.ResidualVQ(
        dim=D,
        num_quantizers=depth,
        codebook_size=K,
        rotation_trick=False,
        commitment_weight=0.3,
        decay=0.99,
    )
    for scale, mine, other in zip((1.0, 0.5, 0.25), [ours.quantizer, *ours.further], theirs.layers, strict=True):
        codebook = torch.randn(K, D) * scale
        for target in (mine.codebook, mine.sums, other._codebook.embed[0], other._codebook.embed_avg[0]):
            target.data.copy_(codebook)
    mine, other = pair_of_latents()
    out = ours(mine)
    sequence, codes, losses = theirs(other.flatten(2).movedim(1, -1))  # (b, d, h, w) -> (b, n, d)
    quantized = sequence.movedim(-1, 1).view_as(other)
    assert torch.equal(out.codes, codes.movedim(-1, 1).reshape(3, depth * 4, 5))  # (b, n, D) -> (b, D * h, w)
    close(out.latents, quantized)
    close(out.loss, losses.sum())
    weights = torch.randn_like(mine)
    (out.latents * weights).sum().backward()
    (quantized * weights).sum().backward()
    # There each depth adds a straight-through gradient of its own to the same latent; RQ-VAE's passes once.
    close(depth * mine.grad, other.grad)
    close(mine.grad, weights)
