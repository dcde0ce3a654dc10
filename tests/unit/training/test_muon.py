"""Muon and AdamW against torch's own."""

import copy

import pytest
import torch
from torch import nn

from vqgen.training import MuonAdamW, orthogonalise


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalise_gives_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.4


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalise_equals_the_plain_iteration(shape):
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    expected = []
    for matrix in matrices:
        x = (matrix if shape[0] <= shape[1] else matrix.t()) / (matrix.norm() + 1e-7)
        for _ in range(5):
            gram = x @ x.t()
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        expected.append(x if shape[0] <= shape[1] else x.t())
    assert torch.allclose(orthogonalise(matrices), torch.stack(expected), atol=1e-9)
    assert torch.allclose(orthogonalise(matrices.float()).double(), torch.stack(expected), atol=1e-3)


def train(make_optimizer, model_seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(model_seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = make_optimizer(model)
    for step in range(5):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(4, 6)).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def test_the_adam_part_equals_torch():
    options = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}
    ours = train(lambda model: MuonAdamW([{"params": list(model.parameters())}], **options))
    theirs = train(lambda model: torch.optim.AdamW(model.parameters(), **options))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_the_muon_part_equals_torch():
    def ours(model):
        return MuonAdamW([{"params": [p for p in model.parameters() if p.ndim == 2], "muon": True}], lr=1e-2)

    def theirs(model):
        matrices = [p for p in model.parameters() if p.ndim == 2]
        return torch.optim.Muon(matrices, lr=1e-2, momentum=0.95, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    for a, b in zip(train(ours), train(theirs), strict=True):
        assert torch.allclose(a, b, atol=2e-3)  # torch iterates in bfloat16


def test_kernels_are_updated_as_matrices():
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(8, 4, 3, 3))
    kernel.grad = torch.randn_like(kernel)
    MuonAdamW([{"params": [kernel], "muon": True}], lr=1.0).step()
    values = torch.linalg.svdvals(kernel.detach().flatten(1)) / (0.2 * 36**0.5)
    assert values.min() > 0.5


def test_state_is_restored_exactly():
    torch.manual_seed(0)
    weight, other = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6))

    def optimizer(parameters):
        return MuonAdamW([{"params": parameters[:1], "muon": True}, {"params": parameters[1:]}], lr=1e-2)

    first = optimizer([weight, other])
    gradients = [[torch.randn_like(weight), torch.randn_like(other)] for _ in range(4)]
    for gradient in gradients[:2]:
        weight.grad, other.grad = gradient
        first.step()
    copies = [nn.Parameter(weight.detach().clone()), nn.Parameter(other.detach().clone())]
    second = optimizer(copies)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for gradient in gradients[2:]:
        weight.grad, other.grad = gradient
        first.step()
        copies[0].grad, copies[1].grad = gradient
        second.step()
    assert torch.equal(weight, copies[0])
    assert torch.equal(other, copies[1])


def test_parameters_without_gradient_stay():
    weight = nn.Parameter(torch.ones(3, 3))
    MuonAdamW([{"params": [weight], "muon": True}], lr=1.0).step()
    assert torch.equal(weight, torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (4, 3, 2, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_muon_step_is_its_definition_in_any_layout(shape, layout):
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(2)]
    parameter = nn.Parameter(start.to(memory_format=layout) if len(shape) == 4 else start.clone())
    optimizer = MuonAdamW([{"params": [parameter], "muon": True}], lr=0.1, weight_decay=0.5, momentum=0.9)
    expected, momentum = start.clone(), torch.zeros(shape)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        update = orthogonalise((0.1 * gradient + 0.9 * momentum).flatten(1)).view(shape)
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * 0.2 * max(update.flatten(1).shape) ** 0.5 * update
    torch.testing.assert_close(parameter.detach(), expected)


def test_a_state_whose_steps_were_numbers_goes_on():
    weight = nn.Parameter(torch.ones(3))
    ends = []
    for number in (False, True):
        copy_of = nn.Parameter(weight.detach().clone())
        optimizer = MuonAdamW([{"params": [copy_of]}], lr=0.1)
        for step in range(4):
            copy_of.grad = torch.full((3,), 1.0 + step)
            optimizer.step()
            if number:
                optimizer.state[copy_of]["step"] = int(optimizer.state[copy_of]["step"])
        ends.append(copy_of.detach())
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], weight)


def test_a_step_within_autocast_is_the_step_without():
    torch.manual_seed(0)
    start, gradient, updated = torch.randn(6, 10), torch.randn(6, 10), []
    for enabled in (False, True):
        parameter = nn.Parameter(start.clone())
        parameter.grad = gradient
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            MuonAdamW([{"params": [parameter], "muon": True}], lr=0.1).step()
        updated.append(parameter.detach())
    assert torch.equal(*updated)
