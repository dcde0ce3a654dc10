import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import LSHAttention
from vqgen.prior import STYLES, Prior, transformer
from vqgen.prior.reversible import Branch, run_reversibly

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KINDS = {
    "dense": {},
    "gpt": {"style": "gpt", "signals": ("step",)},
    "dropout": {"dropout": 0.3},
    "shaw": {"signals": ("shaw",)},
    "reformer": {"signals": ("target",), "attention": LSHAttention(3)},
}


def lively_prior(depth: int = 3, **settings) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 3, 4, 3, dim=16, depth=depth, heads=2, label_dropout=0.0, reversible=True, **settings)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.4)
    return prior


def run_plainly(hidden: Tensor, layers: Sequence[tuple[Branch, Branch]]) -> Tensor:
    first = second = hidden
    for change_first, change_second in layers:
        first = first + change_first.run(second)
        second = second + change_second.run(first)
    return (first + second) / 2


def loss_and_gradients(prior: Prior, device: str = "cpu", seed: int = 5) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(0)
    sequence = torch.randint(20, (2, 12)).to(device)
    torch.manual_seed(seed)
    logits = prior(sequence, torch.arange(12, device=device), torch.tensor([0, 2], device=device))
    loss = F.cross_entropy(logits.flatten(0, 1).float(), sequence.flatten())
    prior.zero_grad()
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in prior.named_parameters()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS.keys())
def test_gradients_are_those_of_the_two_streams_kept(settings, device: str, monkeypatch) -> None:
    prior = lively_prior(**settings).double().to(device)
    found, gradients = loss_and_gradients(prior, device)
    monkeypatch.setattr(transformer, "run_reversibly", run_plainly)
    expected, kept = loss_and_gradients(prior, device)
    torch.testing.assert_close(found, expected)
    for name, gradient in kept.items():
        assert gradient.count_nonzero() > 0, name
        # GELU has a kernel of its own where no gradient is asked for, which knows sqrt(1/2) to seven digits.
        tolerance = 1e-5 if prior.style == "gpt" else 1e-9
        torch.testing.assert_close(gradients[name], gradient, rtol=tolerance, atol=tolerance / 10, msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("inside", [False, True], ids=["backward-outside", "backward-inside"])
def test_gradients_under_autocast_are_those_of_the_two_streams_kept(device: str, inside: bool, monkeypatch) -> None:
    prior = lively_prior(dropout=0.3).to(device)

    def gradients() -> dict[str, Tensor]:
        torch.manual_seed(5)
        with torch.autocast(device, torch.bfloat16):
            logits = prior(torch.arange(12, device=device)[None], torch.arange(12, device=device))
            loss = logits.float().square().mean()
            if inside:
                return dict(zip(names, torch.autograd.grad(loss, [*prior.blocks.parameters()]), strict=True))
        return dict(zip(names, torch.autograd.grad(loss, [*prior.blocks.parameters()]), strict=True))

    names = [name for name, _ in prior.blocks.named_parameters()]
    found = gradients()
    monkeypatch.setattr(transformer, "run_reversibly", run_plainly)
    for name, gradient in gradients().items():
        assert F.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0) > 0.995, name


def test_gradients_of_many_layers_in_single_precision_stay_close(monkeypatch) -> None:
    prior = lively_prior(depth=24)
    for block in prior.blocks:
        nn.init.normal_(block.attention.output.weight, std=0.05)
        nn.init.normal_(block.feed_forward.narrow.weight, std=0.05)
    _, found = loss_and_gradients(prior)
    monkeypatch.setattr(transformer, "run_reversibly", run_plainly)
    _, kept = loss_and_gradients(prior)
    for name, gradient in kept.items():
        assert (found[name] - gradient).abs().max() < 1e-3 * gradient.abs().max(), name


def test_random_numbers_after_the_backward_pass_go_on_as_after_the_forward_pass() -> None:
    prior = lively_prior(dropout=0.5)
    torch.manual_seed(3)
    loss = prior(torch.randint(20, (2, 12)), torch.arange(12)).square().mean()
    state = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), state)


def saved_bytes(prior: Prior) -> int:
    """Of what the graph keeps for the backward pass, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in prior.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = prior(torch.randint(20, (2, 12)), torch.arange(12))
    assert logits.requires_grad
    return sum(kept.values())


def test_memory_kept_for_the_backward_pass_does_not_grow_with_depth() -> None:
    assert saved_bytes(lively_prior(depth=2)) == saved_bytes(lively_prior(depth=16))
    usual = [Prior(20, 3, 4, dim=16, depth=depth, heads=2) for depth in (2, 16)]
    assert saved_bytes(usual[1]) > 4 * saved_bytes(usual[0])  # it can be seen


@pytest.mark.parametrize("style", STYLES)
def test_cached_logits_equal_the_full_forward_pass(style: str) -> None:
    prior, positions = lively_prior(style=style).double(), torch.stack([torch.randperm(12), torch.randperm(12)])
    sequence, cache, condition = torch.randint(20, (2, 12)), prior.new_cache(2), torch.tensor([1, -1])
    full = prior(sequence, positions, condition)
    with torch.no_grad():
        torch.testing.assert_close(prior(sequence, positions, condition), full)
    pieces = [prior.advance(sequence[:, :4], positions, cache, condition)]
    pieces += [prior.advance(sequence[:, t : t + 1], positions, cache) for t in range(4, 11)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), full)


def test_frozen_layers_and_inputs_get_no_gradient() -> None:
    prior = lively_prior()
    prior.blocks[1].requires_grad_(False)
    prior(torch.randint(20, (2, 12)), torch.arange(12)).square().mean().backward()
    assert all(parameter.grad is None for parameter in prior.blocks[1].parameters())
    assert all(parameter.grad is not None for parameter in prior.blocks[0].parameters())
    scale = torch.ones(1)
    assert not run_reversibly(torch.ones(1, 1, 1), [(Branch(lambda x: scale * x),) * 2]).requires_grad


def test_a_reversible_prior_is_rebuilt_from_its_folder_and_others_are_as_before(tmp_path) -> None:
    prior = lively_prior().eval()
    prior.save_pretrained(tmp_path / "prior")
    again = Prior.from_pretrained(tmp_path / "prior")
    assert again.reversible is True
    sequence = torch.randint(20, (1, 12))
    assert torch.equal(again(sequence, torch.arange(12)), prior(sequence, torch.arange(12)))
    usual = copy.deepcopy(prior)
    usual.reversible = None
    assert not torch.allclose(usual(sequence, torch.arange(12)), prior(sequence, torch.arange(12)))
