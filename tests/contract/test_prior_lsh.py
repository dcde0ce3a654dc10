"""A prior with hashed attention: nothing from the future, and the same logits with a cache, in groups and elsewhere."""

import copy
from itertools import accumulate

import pytest
import torch
from torch import Tensor

from vqgen.attention import LSHAttention
from vqgen.orders import available_orders
from vqgen.prior import STYLES, Prior
from vqgen.sampling import sample_autoregressive, sample_groups

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ATTENTIONS = {
    "small": LSHAttention(3, rounds=2),
    "one-round": LSHAttention(4, rounds=1, buckets=2, seed=3),
    "no-hash": LSHAttention(2, buckets=1),
    "whole": LSHAttention(64),
    "two-kinds": (LSHAttention(2, rounds=3), LSHAttention(5, seed=1)),
}

every_attention = pytest.mark.parametrize("attention", ATTENTIONS.values(), ids=ATTENTIONS.keys())


def lively_prior(attention, style: str = "llama", signals=("target",), height: int = 4, width: int = 4) -> Prior:
    torch.manual_seed(0)
    prior = Prior(
        20, height, width, 3, dim=16, depth=2, heads=2, style=style, signals=signals, label_dropout=0.0,
        attention=attention,
    )  # fmt: skip
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.double()


def step_by_step(prior: Prior, sequence: Tensor, positions: Tensor, condition: Tensor | None) -> Tensor:
    cache = prior.new_cache(len(sequence))
    steps = [prior.advance(sequence[:, :0], positions, cache, condition)]
    steps += [prior.advance(sequence[:, t : t + 1], positions, cache) for t in range(sequence.shape[1] - 1)]
    return torch.cat(steps, dim=1)


@every_attention
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (1, 3), (1, 1)])
def test_cached_logits_equal_the_full_forward_pass_for_every_order(attention, style, height, width) -> None:
    orders = available_orders(height=height, width=width)  # one image in each order, all in one batch
    prior, cells = lively_prior(attention, style, height=height, width=width), height * width
    sequence, condition = torch.randint(20, (len(orders), cells)), torch.arange(len(orders)) % 4 - 1
    positions = torch.stack([order.positions for order in orders.values()])
    full = prior(sequence, positions, condition)
    assert full.std() > 0.5
    torch.testing.assert_close(step_by_step(prior, sequence, positions, condition), full, atol=1e-10, rtol=0.0)


@every_attention
@pytest.mark.parametrize("parts", [(14,), (5, 9), (0, 1, 6, 7)])
def test_cached_logits_do_not_depend_on_how_the_sequence_is_cut(attention, parts: tuple[int, ...]) -> None:
    prior = lively_prior(attention, height=3, width=5)
    sequence, positions = torch.randint(20, (2, 15)), torch.randperm(15)
    cache, seen, pieces = prior.new_cache(2), 0, []
    for count in parts:
        pieces.append(prior.advance(sequence[:, seen : seen + count], positions, cache))
        seen += count
    torch.testing.assert_close(torch.cat(pieces, dim=1), prior(sequence, positions), atol=1e-10, rtol=0.0)


@every_attention
@pytest.mark.parametrize("step", [0, 5, 13])
def test_logits_depend_on_no_later_code_and_on_no_later_position(attention, step: int) -> None:
    prior = lively_prior(attention)
    sequence, positions = torch.randint(20, (3, 16)), torch.stack([torch.randperm(16) for _ in range(3)])
    before = prior(sequence, positions)
    changed, moved = sequence.clone(), positions.clone()
    changed[:, step:] = (changed[:, step:] + 1) % 20
    moved[:, step + 1 :] = moved[:, step + 1 :].flip(1)
    for after in (prior(changed, positions), prior(sequence, moved)):
        torch.testing.assert_close(after[:, : step + 1], before[:, : step + 1], atol=1e-12, rtol=0.0)
    assert not torch.allclose(prior(changed, positions)[:, step + 1 :], before[:, step + 1 :])
    torch.testing.assert_close(prior(sequence[:, : step + 1], positions), before[:, : step + 1], atol=1e-12, rtol=0.0)


@every_attention
@torch.no_grad()
def test_logits_of_every_group_equal_a_full_forward_pass(attention) -> None:
    prior, groups = lively_prior(attention, height=3, width=4), (1, 2, 4, 5)
    sequence, positions = torch.randint(20, (3, 12)), torch.stack([torch.randperm(12) for _ in range(3)])
    cache, previous = prior.new_cache(3), sequence[:, :0]
    for start, size in zip(accumulate(groups, initial=0), groups, strict=False):
        answers = prior.advance(previous, positions, cache, cells=positions[:, start : start + size])
        previous = sequence[:, start : start + size]
        for cell in range(size):
            moved = positions.clone()
            moved[:, [start, start + cell]] = positions[:, [start + cell, start]]
            expected = prior(sequence[:, : start + 1], moved)[:, start]
            torch.testing.assert_close(answers[:, cell], expected, atol=1e-10, rtol=0.0)


@pytest.mark.parametrize("device", DEVICES)
@every_attention
def test_what_is_drawn_and_learned_does_not_depend_on_the_device(attention, device: str) -> None:
    prior = lively_prior(attention)
    there = copy.deepcopy(prior).to(device)
    labels, positions = torch.tensor([0, 2]), torch.stack([torch.randperm(16) for _ in range(2)])
    expected = sample_autoregressive(prior, positions, labels, guidance=2.0, seed=3)
    assert torch.equal(sample_autoregressive(there, positions, labels, guidance=2.0, seed=3).cpu(), expected)
    grouped = sample_groups(prior, positions, labels, groups=(1, 2, 5, 8), seed=3)
    assert torch.equal(sample_groups(there, positions, labels, groups=(1, 2, 5, 8), seed=3).cpu(), grouped)
    prior(expected, positions, labels).square().mean().backward()
    there(expected.to(device), positions.to(device), labels.to(device)).square().mean().backward()
    for (name, here), moved in zip(prior.named_parameters(), there.parameters(), strict=True):
        assert here.grad is not None, name
        assert moved.grad is not None, name
        torch.testing.assert_close(moved.grad.cpu(), here.grad, atol=1e-8, rtol=1e-8, msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_it_trains_in_half_precision(device: str) -> None:
    prior = lively_prior(LSHAttention(4)).float().to(device)
    sequence = torch.randint(20, (2, 16), device=device)
    with torch.autocast(device, torch.bfloat16):
        loss = prior(sequence, torch.arange(16, device=device)).float().square().mean()
    loss.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in prior.parameters() if parameter.grad is not None)
