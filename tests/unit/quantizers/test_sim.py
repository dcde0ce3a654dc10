"""SimVQ: one step moves every code."""

import pytest
import torch

from vqgen.quantizers import SimVectorQuantizer, nearest_codes


def test_codes_are_nearest_in_the_transformed_codebook():
    torch.manual_seed(0)
    quantizer = SimVectorQuantizer(32, 5)
    latents = torch.randn(2, 5, 3, 4)
    rows = latents.movedim(1, -1).reshape(-1, 5)
    codebook = quantizer.fixed @ quantizer.transform.weight.detach().t()
    assert torch.equal(quantizer.encode(latents).flatten(), nearest_codes(rows, codebook))


def test_a_step_moves_the_codes_that_were_not_chosen_too():
    torch.manual_seed(0)
    quantizer = SimVectorQuantizer(32, 5)
    latents = torch.randn(1, 5, 1, 2)
    before = quantizer.lookup(torch.arange(32).view(1, 4, 8)).detach()
    optimizer = torch.optim.SGD(quantizer.parameters(), 1.0)
    quantizer(latents).loss.backward()
    optimizer.step()
    after = quantizer.lookup(torch.arange(32).view(1, 4, 8)).detach()
    assert ((after - before).abs().sum(1) > 0).all()


def test_each_weight_is_on_its_own_term():
    torch.manual_seed(0)
    latents = torch.randn(1, 5, 2, 2, requires_grad=True)
    quantizer = SimVectorQuantizer(32, 5, codebook_weight=2.0, commitment=0.5)
    out = quantizer(latents)
    out.loss.backward()
    distance = quantizer.lookup(out.codes).detach() - latents.detach()
    assert out.loss.item() == pytest.approx(2.5 * distance.square().mean().item(), rel=1e-5)
    assert torch.allclose(latents.grad, -0.5 * 2 * distance / distance.numel(), atol=1e-6)


def test_the_fixed_codebook_gets_no_gradient_and_is_saved():
    quantizer = SimVectorQuantizer(32, 5)
    assert set(quantizer.state_dict()) == {"fixed", "transform.weight"}
    assert [name for name, _ in quantizer.named_parameters()] == ["transform.weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codebook_size": 0, "dim": 4}, "codebook_size and dim must be >= 1"),
        ({"codebook_size": 8, "dim": 4, "codebook_weight": 0.0}, "codebook_weight must be > 0"),
        ({"codebook_size": 8, "dim": 4, "commitment": -1.0}, "commitment must be >= 0"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SimVectorQuantizer(**arguments)
