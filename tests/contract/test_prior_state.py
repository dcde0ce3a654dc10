"""What a prior keeps: its constructor arguments and its weights, and neither an order nor a cache."""

import inspect

import pytest
import torch

from vqgen.prior import SIGNALS, STYLES, Prior

COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary")]


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
def test_state_dict_holds_trainable_weights_only(style: str, signals: tuple[str, ...]) -> None:
    prior = Prior(20, 3, 4, 2, dim=16, depth=2, heads=2, style=style, signals=signals)
    assert set(prior.state_dict()) == {name for name, _ in prior.named_parameters()}


def test_state_dict_and_attributes_are_the_same_after_use_with_any_order_and_cache() -> None:
    prior = Prior(20, 3, 4, dim=16, depth=2, heads=2)
    weights = {name: weight.clone() for name, weight in prior.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in prior.named_modules()}
    sequence = torch.randint(20, (2, 12))
    prior(sequence, torch.randperm(12))
    prior.advance(sequence[:, :3], torch.randperm(12), prior.new_cache(2))
    assert {name: set(vars(module)) for name, module in prior.named_modules()} == attributes
    assert prior.state_dict().keys() == weights.keys()
    assert all(torch.equal(prior.state_dict()[name], weight) for name, weight in weights.items())


def test_every_constructor_argument_is_kept_so_that_the_prior_can_be_rebuilt() -> None:
    prior = Prior(20, 3, 4, 2, dim=16, depth=3, heads=2, style="gpt", signals=["step", "rotary"], dropout=0.1)
    names = [name for name in inspect.signature(Prior).parameters if name not in prior.made_from_others]
    arguments = {name: getattr(prior, name) for name in names}
    rebuilt = Prior(**arguments)
    rebuilt.load_state_dict(prior.state_dict())
    assert {name: getattr(rebuilt, name) for name in arguments} == arguments
    assert prior.signals == ("step", "rotary")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("num_classes", [0, 5])
@pytest.mark.parametrize("signals", [("step", "target", "rotary"), ("instruction",)], ids="+".join)
def test_every_parameter_receives_a_gradient(style: str, num_classes: int, signals: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    prior = Prior(20, 3, 4, num_classes, dim=16, depth=2, heads=2, style=style, signals=signals)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    condition = torch.tensor([0, 1]) if num_classes else None
    prior(torch.randint(20, (2, 12)), torch.randperm(12), condition).square().sum().backward()
    assert [name for name, parameter in prior.named_parameters() if parameter.grad is None] == []
