"""Lookup-free quantization: bits, and the exact entropies against the whole table of probabilities."""

import math

import pytest
import torch
from torch import Tensor

from vqgen.quantizers import LookupFreeQuantizer
from vqgen.quantizers.bit_entropy import entropy_of_bits, entropy_of_mean


def table_of_probabilities(latents: Tensor, temperature: float) -> Tensor:
    """(n, 2^d) shares `exp(-||z - c||^2 / temperature)` over all sign patterns c."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=latents.dtype)] * latents.shape[1])
    corners = corners.view(-1, latents.shape[1])
    return (-(latents[:, None] - corners).square().sum(-1) / temperature).softmax(1)


def entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares).sum(-1)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_entropies_equal_those_of_the_whole_table(bits, temperature):
    torch.manual_seed(0)
    latents = torch.randn(20, bits, dtype=torch.float64, requires_grad=True)
    table = table_of_probabilities(latents, temperature)
    log_odds = 4 * latents / temperature
    assert torch.allclose(entropy_of_bits(log_odds), entropy(table))
    assert torch.allclose(entropy_of_mean(log_odds), entropy(table.mean(0)))
    for found, expected in ((entropy_of_bits(log_odds).mean(), entropy(table).mean()),
                            (entropy_of_mean(log_odds), entropy(table.mean(0)))):  # fmt: skip
        (mine,) = torch.autograd.grad(found, latents, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected, latents, retain_graph=True)
        assert torch.allclose(mine, theirs, atol=1e-9)


def test_entropies_are_finite_where_everything_is_certain():
    log_odds = torch.full((4, 6), 1e4).requires_grad_(True)
    total = entropy_of_bits(log_odds).sum() + entropy_of_mean(log_odds)
    total.backward()
    assert total.item() == 0.0
    assert log_odds.grad.isfinite().all()


def test_entropy_of_the_mean_never_makes_the_table():
    log_odds = torch.randn(64, 16)  # the table would have 4 million entries
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                sizes.append(out.numel())
            return out

    with Watch():
        assert 0 < entropy_of_mean(log_odds).item() <= 16 * math.log(2)
    assert max(sizes) == 2**16


def test_loss_equals_its_definition():
    torch.manual_seed(0)
    quantizer = LookupFreeQuantizer(32, entropy_weight=0.3, diversity=0.8, commitment=0.6, entropy_temperature=1.5)
    latents = torch.randn(2, 5, 3, 3)
    rows = latents.movedim(1, -1).reshape(-1, 5)
    table = table_of_probabilities(rows, 1.5)
    expected = 0.3 * (entropy(table).mean() - 0.8 * entropy(table.mean(0)))
    expected = expected + 0.6 * (rows - rows.sign()).square().mean()
    assert quantizer(latents).loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_entropy_loss_makes_latents_sure_and_diverse():
    torch.manual_seed(0)
    latents = (torch.randn(4, 4, 8, 8) * 0.05 + 0.2).requires_grad_(True)  # all start on one code
    quantizer = LookupFreeQuantizer(16, entropy_weight=1.0, commitment=0.0, entropy_temperature=1.0)
    assert quantizer.encode(latents.detach()).unique().numel() <= 2
    optimizer = torch.optim.Adam([latents], 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        quantizer(latents).loss.backward()
        optimizer.step()
    assert quantizer.encode(latents.detach()).unique().numel() == 16
    assert latents.detach().abs().mean() > 0.6


@pytest.mark.parametrize("codebook_size", [0, 1, 12])
def test_only_powers_of_two_have_bits(codebook_size):
    with pytest.raises(ValueError, match=f"codebook_size must be a power of two >= 2.*got {codebook_size}"):
        LookupFreeQuantizer(codebook_size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"diversity": -1.0}, "must be >= 0"), ({"entropy_temperature": 0.0}, "entropy_temperature must be > 0")],
)
def test_impossible_weights_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LookupFreeQuantizer(8, **arguments)
