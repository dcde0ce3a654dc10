"""VQ-VAE's loss: each weight on its own term."""

import pytest
import torch

from vqgen.quantizers import VectorQuantizer


def gradients(codebook_weight: float, commitment: float) -> tuple[float, float, float]:
    """Loss, and the gradient norms that reach the codebook and the encoder from the loss alone."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 2, codebook_weight=codebook_weight, commitment=commitment, kmeans_start=False)
    latents = torch.randn(2, 2, 3, 3, requires_grad=True)
    loss = quantizer(latents).loss
    loss.backward()
    return float(loss.detach()), float(quantizer.codebook.grad.norm()), float(latents.grad.norm())


def test_commitment_weighs_the_encoder_term_only():
    loss, codebook, encoder = gradients(1.0, 0.25)
    more_loss, more_codebook, more_encoder = gradients(1.0, 0.5)
    assert more_codebook == pytest.approx(codebook)
    assert more_encoder == pytest.approx(2 * encoder)
    assert more_loss == pytest.approx(loss / 1.25 * 1.5)


def test_codebook_weight_weighs_the_codebook_term_only():
    _, codebook, encoder = gradients(1.0, 0.25)
    _, more_codebook, same_encoder = gradients(3.0, 0.25)
    assert more_codebook == pytest.approx(3 * codebook)
    assert same_encoder == pytest.approx(encoder)


def test_loss_equals_its_definition():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 3, codebook_weight=2.0, commitment=0.5, kmeans_start=False)
    latents = torch.randn(1, 3, 2, 2)
    out = quantizer(latents)
    distance = (latents - quantizer.lookup(out.codes)).square().mean()
    assert out.loss.item() == pytest.approx(2.5 * distance.item())


def test_a_codebook_that_cannot_move_is_refused():
    with pytest.raises(ValueError, match="codebook_weight must be > 0"):
        VectorQuantizer(8, 3, codebook_weight=0.0)
