"""Drawing a group at a time predicts, for each cell, what a full forward pass over the known codes predicts."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vqgen.prior import SIGNALS, STYLES, Prior
from vqgen.sampling import (
    draw_codes,
    group_sizes,
    guidance_ramp,
    image_uniforms,
    sample_autoregressive,
    sample_groups,
)

COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary"), ("step", "rotary"), ("step", "cell", "rotary")]
HEIGHT, WIDTH, CELLS = 3, 4, 12


def lively_prior(
    style: str = "llama",
    signals: tuple[str, ...] = ("target", "rotary"),
    num_classes: int = 0,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> Prior:
    """A prior whose every parameter matters, and whose distributions are neither flat nor certain."""
    torch.manual_seed(0)
    prior = Prior(20, height, width, num_classes, dim=16, depth=2, heads=2, style=style, signals=signals)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.eval()


def orders(count: int, cells: int = CELLS) -> Tensor:
    return torch.stack([torch.randperm(cells) for _ in range(count)])


def full_logits(prior: Prior, sequence: Tensor, positions: Tensor, start: int, size: int, condition=None) -> Tensor:
    """(b, size, k): of each cell of the group by a forward pass of its own, in which that cell comes next."""
    positions, answers = positions.expand(len(sequence), -1), []
    for cell in range(start, start + size):
        moved = positions.clone()
        moved[:, [start, cell]] = positions[:, [cell, start]]
        answers.append(prior(sequence[:, : start + 1], moved, condition)[:, start])
    return torch.stack(answers, dim=1)


def group_logits(prior: Prior, sequence: Tensor, positions: Tensor, groups: Sequence[int], condition=None) -> Tensor:
    cache, answers, previous = prior.new_cache(len(sequence)), [], sequence[:, :0]
    for start, size in zip(accumulate(groups, initial=0), groups, strict=False):
        cells = positions[..., start : start + size]
        answers.append(prior.advance(previous, positions, cache, condition, cells=cells))
        assert cache.length == start + 1
        previous = sequence[:, start : start + size]
    return torch.cat(answers, dim=1)


def expected_logits(prior: Prior, sequence: Tensor, positions: Tensor, groups: Sequence[int], condition=None) -> Tensor:
    spans = zip(accumulate(groups, initial=0), groups, strict=False)
    return torch.cat([full_logits(prior, sequence, positions, *span, condition) for span in spans], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_logits_of_every_group_equal_a_full_forward_pass(
    style: str, signals: tuple[str, ...], dtype: torch.dtype
) -> None:
    prior = lively_prior(style, signals, num_classes=3).to(dtype)
    sequence, positions, condition = torch.randint(20, (3, CELLS)), orders(3), torch.tensor([0, 2, -1])
    for groups in ((1, 2, 4, 5), (12,), (3, 1, 1, 7), (1,) * 12):
        found = group_logits(prior, sequence, positions, groups, condition)
        expected = expected_logits(prior, sequence, positions, groups, condition)
        tolerance = 1e-4 if dtype == torch.float32 else 1e-11
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0.0)
    assert found.std() > 0.5  # the comparison is of something


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@torch.no_grad()
def test_logits_of_groups_in_an_order_that_all_share(signals: tuple[str, ...]) -> None:
    prior, positions = lively_prior(signals=signals).double(), torch.randperm(CELLS)
    sequence, groups = torch.randint(20, (2, CELLS)), (2, 3, 1, 6)
    found = group_logits(prior, sequence, positions, groups)
    torch.testing.assert_close(found, expected_logits(prior, sequence, positions, groups), atol=1e-11, rtol=0.0)


@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
@torch.no_grad()
def test_group_logits_equal_the_full_forward_pass_for_any_grid_and_number_of_steps(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 4), "h"), data.draw(st.integers(1, 4), "w")
    cells = height * width
    groups = group_sizes(cells, data.draw(st.integers(1, cells), "T"), data.draw(st.sampled_from(["cosine", "linear"])))
    signals = data.draw(st.sampled_from(COMBINATIONS))
    prior = lively_prior(data.draw(st.sampled_from(sorted(STYLES))), signals, 0, height, width).double()
    sequence, positions = torch.randint(20, (2, cells)), orders(2, cells)
    found = group_logits(prior, sequence, positions, groups)
    torch.testing.assert_close(found, expected_logits(prior, sequence, positions, groups), atol=1e-11, rtol=0.0)


@torch.no_grad()
def naive_sample(
    prior: Prior,
    positions: Tensor,
    groups: Sequence[int],
    labels: Tensor | None = None,
    scales: Sequence[float] | None = None,
    prefix: Tensor | None = None,
) -> Tensor:
    """No cache, two explicit passes for guidance, one forward pass per cell."""
    known = 0 if prefix is None else prefix.shape[1]
    sequence = torch.zeros(3, CELLS, dtype=torch.int64)
    if prefix is not None:
        sequence[:, :known] = prefix
    uniforms = image_uniforms(4, first_index=0, batch_size=3, steps=CELLS)
    for group, (start, size) in enumerate(zip(accumulate(groups, initial=known), groups, strict=False)):
        logits = full_logits(prior, sequence, positions, start, size, labels)
        if scales is not None:
            plain = full_logits(prior, sequence, positions, start, size)
            logits = plain + scales[group] * (logits - plain)
        sequence[:, start : start + size] = draw_codes(logits, uniforms[:, start : start + size])
    return sequence


@pytest.mark.parametrize("signals", [("target", "rotary"), ("target",)], ids="+".join)
@pytest.mark.parametrize("groups", [(12,), (1, 2, 4, 5), (5, 1, 1, 5)])
def test_sample_equals_a_naive_loop_without_cache(signals: tuple[str, ...], groups: tuple[int, ...]) -> None:
    prior = lively_prior(signals=signals).double()
    for positions in (orders(3), torch.randperm(CELLS)):
        drawn = sample_groups(prior, positions, groups=groups, batch_size=3, seed=4)
        assert torch.equal(drawn, naive_sample(prior, positions, groups))


@pytest.mark.parametrize("known", [1, 4, 11])
def test_sample_completes_a_prefix(known: int) -> None:
    prior, positions = lively_prior().double(), orders(3)
    prefix, groups = torch.randint(20, (3, known)), group_sizes(CELLS - known, min(3, CELLS - known))
    drawn = sample_groups(prior, positions, groups=groups, prefix=prefix, seed=4)
    assert torch.equal(drawn[:, :known], prefix)
    assert torch.equal(drawn, naive_sample(prior, positions, groups, prefix=prefix))


@pytest.mark.parametrize("positions", [torch.arange(CELLS), torch.arange(CELLS).flip(0).repeat(3, 1)])
def test_sample_with_guidance_equals_two_explicit_passes(positions: Tensor) -> None:
    prior, labels, groups = lively_prior(num_classes=3).double(), torch.tensor([2, 0, 1]), (1, 3, 4, 4)
    ramp = guidance_ramp("linear", 12.0)
    drawn = sample_groups(prior, positions, labels, groups=groups, guidance=ramp, seed=4)
    assert torch.equal(drawn, naive_sample(prior, positions, groups, labels, scales=[1.0, 2.0, 5.0, 9.0]))


def test_groups_of_one_draw_the_very_codes_of_autoregressive_sampling() -> None:
    prior, labels, positions = lively_prior(num_classes=3), torch.tensor([2, 0, 1]), orders(3)
    arguments = {"guidance": 2.0, "top_k": 9, "top_p": 0.9, "temperature": 0.8, "seed": 7, "first_index": 3}
    expected = sample_autoregressive(prior, positions, labels, **arguments)
    assert torch.equal(sample_groups(prior, positions, labels, groups=(1,) * CELLS, **arguments), expected)


def test_batches_of_any_size_draw_the_same_images_in_groups() -> None:
    prior, positions, labels = lively_prior(num_classes=3), orders(6), torch.arange(6) % 3
    together = sample_groups(prior, positions, labels, groups=(2, 4, 6), seed=5, guidance=2.0)
    apart = [
        sample_groups(
            prior, positions[i : i + 1], labels[i : i + 1], groups=(2, 4, 6), seed=5, guidance=2.0, first_index=i
        )
        for i in range(6)
    ]
    assert torch.equal(torch.cat(apart), together)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("known", "groups"), [(0, (3, 1, 4, 8)), (5, (1, 2, 1, 7)), (2, (14,)), (15, (1,))])
def test_passes_located_at_once_ask_what_passes_located_one_by_one_ask(shared, known, groups) -> None:
    prior = lively_prior(num_classes=2, height=4, width=4)
    sequence, labels = torch.randint(20, (2, 16)), torch.tensor([0, 1])
    positions = torch.randperm(16) if shared else torch.stack([torch.randperm(16) for _ in range(2)])
    told = prior.locate_groups(positions, groups=groups, known=known, batch_size=2)
    assert len(told) == sum(size > 1 for size in groups)
    caches, previous, start = (prior.new_cache(2), prior.new_cache(2)), sequence[:, :known], known
    for size in groups:
        cells = positions[..., start : start + size]
        expected = prior.advance(previous, positions, caches[0], labels, last_only=True, cells=cells)
        found = prior.advance(previous, told.get(start, positions), caches[1], labels, last_only=True)
        torch.testing.assert_close(found, expected)
        previous, start = sequence[:, start : start + size], start + size
