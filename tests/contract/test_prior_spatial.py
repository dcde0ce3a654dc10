"""A grid as the condition goes with its cells under every order, and drawing with a cache sees what training sees."""

import pytest
import torch
from torch import Tensor, nn

from vqgen.conditioning import (
    AlignedGridConditioner,
    ConvolutionalContext,
    PrefixGridConditioner,
    SpatialConditioner,
)
from vqgen.orders import available_orders
from vqgen.prior import MaskedPrior, Prior
from vqgen.sampling import CONFIDENCE_ORDERS, guide, guided, sample_autoregressive, sample_by_confidence, sample_groups

HEIGHT, WIDTH, CODES, CONDITION_CODES = 3, 4, 20, 7
CELLS = HEIGHT * WIDTH
SIGNALS = [("target", "rotary"), ("step",), ("instruction",)]

every_signal = pytest.mark.parametrize("signals", SIGNALS, ids="+".join)
every_kind = pytest.mark.parametrize("kind", ["aligned", "patches", "coarser", "context", "prefix"])


def conditioner_of(kind: str) -> SpatialConditioner:
    if kind == "prefix":
        return PrefixGridConditioner(CONDITION_CODES, 2, 3, dim=16)
    rows, columns = {"patches": (2 * HEIGHT, 2 * WIDTH), "coarser": (2, 2)}.get(kind, (HEIGHT, WIDTH))
    context = ConvolutionalContext(16, depth=2) if kind == "context" else None
    return AlignedGridConditioner(CONDITION_CODES, rows, columns, dim=16, height=HEIGHT, width=WIDTH, context=context)


def lively_prior(kind: str, signals: tuple[str, ...] = ("target", "rotary")) -> Prior:
    """A prior whose every parameter matters: as built, its blocks add nothing and its logits are all zero."""
    torch.manual_seed(0)
    prior = Prior(
        CODES, HEIGHT, WIDTH, dim=16, depth=2, heads=2, signals=signals, conditioner=conditioner_of(kind)
    ).eval()
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.5)
    return prior


def conditions_of(prior: Prior, count: int) -> Tensor:
    grid = prior.conditioner
    assert isinstance(grid, SpatialConditioner)
    condition = torch.randint(CONDITION_CODES, (count, grid.grid_height, grid.grid_width))
    condition[0] = -1
    return condition


def logits_step_by_step(prior: Prior, sequence: Tensor, positions: Tensor, condition: Tensor | None) -> Tensor:
    cache, located = prior.new_cache(len(sequence)), prior.locate(positions, batch_size=len(sequence))
    steps = [prior.advance(sequence[:, :0], located, cache, condition)]
    steps += [prior.advance(sequence[:, t : t + 1], located, cache) for t in range(sequence.shape[1] - 1)]
    return torch.cat(steps, dim=1)


@pytest.mark.parametrize("kind", [Prior, MaskedPrior])
def test_a_prior_refuses_a_condition_laid_over_another_grid(kind: type[Prior] | type[MaskedPrior]) -> None:
    with pytest.raises(ValueError, match="grid of 4 x 4, the prior's has 3 x 4; set the conditioner's"):
        kind(CODES, HEIGHT, WIDTH, dim=16, depth=1, heads=2, conditioner=AlignedGridConditioner(5, 4, 4, dim=16))


@every_signal
@every_kind
def test_cached_logits_equal_the_full_forward_pass_with_an_order_for_each_image(
    kind: str, signals: tuple[str, ...]
) -> None:
    prior = lively_prior(kind, signals)
    positions = torch.stack([order.positions for order in available_orders(height=HEIGHT, width=WIDTH).values()])
    sequence, condition = torch.randint(CODES, (len(positions), CELLS)), conditions_of(prior, len(positions))
    full = prior(sequence, positions, condition)
    assert full.std() > 0.5  # the comparison is of something
    assert not torch.allclose(full[1:], prior(sequence, positions, None)[1:], atol=0.1)
    torch.testing.assert_close(full[:1], prior(sequence, positions, None)[:1], atol=1e-4, rtol=0.0)
    cached = logits_step_by_step(prior, sequence, positions, condition)
    torch.testing.assert_close(cached, full, atol=1e-4, rtol=0.0)


@every_signal
@every_kind
def test_questions_about_several_cells_are_those_of_a_full_forward_pass(kind: str, signals: tuple[str, ...]) -> None:
    prior, known = lively_prior(kind, signals), 4
    positions = torch.stack([torch.randperm(CELLS) for _ in range(3)])
    sequence, condition = torch.randint(CODES, (3, CELLS)), conditions_of(prior, 3)
    for steps_before in (0, 2):
        cache = prior.new_cache(3)
        if steps_before:
            prior.advance(sequence[:, : steps_before - 1], positions, cache, condition)
            new = sequence[:, steps_before - 1 : known]
        else:
            new = sequence[:, :known]
        asked = prior.advance(new, positions, cache, condition, cells=positions[:, known:])
        for question in range(CELLS - known):
            order = positions.clone()
            order[:, known], order[:, known + question] = positions[:, known + question], positions[:, known]
            expected = prior(sequence[:, : known + 1], order, condition)[:, -1]
            torch.testing.assert_close(asked[:, question], expected, atol=1e-4, rtol=0.0)


@every_signal
@every_kind
def test_no_gradient_comes_from_later_codes(kind: str, signals: tuple[str, ...]) -> None:
    prior = lively_prior(kind, signals)
    positions = torch.stack([torch.randperm(CELLS), torch.randperm(CELLS)])
    sequence, embedded = torch.randint(CODES, (2, CELLS)), []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    prior.code_embedding.register_forward_hook(keep)
    logits = prior(sequence, positions, conditions_of(prior, 2))
    for step in range(CELLS):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), embedded[0], retain_graph=True)
        assert (gradient.abs().sum(dim=(0, 2)) > 0).tolist() == [code < step for code in range(CELLS - 1)]


def cells_that_matter(prior: Prior, positions: Tensor) -> Tensor:
    """(n, n) booleans: whether the logits of a cell (row) depend on the condition at a cell (column)."""
    sequence = torch.randint(CODES, (1, CELLS)).expand(len(positions), -1)
    condition = torch.randint(CONDITION_CODES - 1, (1, HEIGHT, WIDTH)).expand(len(positions), -1, -1)
    before, matter = prior(sequence, positions, condition), torch.zeros(len(positions), CELLS, CELLS, dtype=torch.bool)
    for cell in range(CELLS):
        changed = condition.clone()
        changed.view(len(positions), CELLS)[:, cell] = CONDITION_CODES - 1
        differs = (prior(sequence, positions, changed) != before).any(-1)  # (b, steps)
        matter[:, :, cell] = torch.zeros_like(differs).scatter(1, positions, differs)
    return matter


def test_an_aligned_condition_stays_with_its_cell_under_every_order() -> None:
    prior = lively_prior("aligned")
    for block in prior.blocks:  # blocks that add nothing: what is left is what each row was given
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.feed_forward.narrow.weight)
    orders = available_orders(height=HEIGHT, width=WIDTH)
    positions = torch.stack([order.positions for order in orders.values()])
    for name, matter in zip(orders, cells_that_matter(prior, positions), strict=True):
        assert torch.equal(matter, torch.eye(CELLS, dtype=torch.bool)), name


def test_through_attention_a_cell_sees_the_conditions_of_cells_visited_until_then() -> None:
    positions = torch.stack([torch.randperm(CELLS) for _ in range(4)])
    matter = cells_that_matter(lively_prior("aligned"), positions)
    for order, seen in zip(positions, matter, strict=True):
        steps = order.argsort()
        assert torch.equal(seen, steps[None, :] <= steps[:, None])


@pytest.mark.parametrize("kind", ["context", "prefix"])
def test_a_context_and_a_prefix_show_the_whole_condition_to_the_first_step(kind: str) -> None:
    prior = lively_prior(kind)
    sequence, positions = torch.randint(CODES, (1, CELLS)), torch.randperm(CELLS)[None]
    condition = conditions_of(prior, 2)[1:]
    first = prior(sequence[:, :1], positions, condition)
    cells = condition.view(1, -1)
    for cell in range(cells.shape[1]):
        changed = condition.clone()
        changed.view(1, -1)[0, cell] = (changed.view(1, -1)[0, cell] + 1) % CONDITION_CODES
        assert not torch.equal(prior(sequence[:, :1], positions, changed), first)


@every_kind
def test_guided_draws_combine_the_logits_with_the_condition_and_without(kind: str) -> None:
    prior = lively_prior(kind)
    positions = torch.stack([torch.randperm(CELLS) for _ in range(3)])
    condition = conditions_of(prior, 3)
    drawn = sample_autoregressive(prior, positions, condition, temperature=0.0, guidance=2.5)
    logits = guide(prior(drawn, positions, condition), prior(drawn, positions, None), 2.5)
    assert torch.equal(logits.argmax(-1), drawn)
    assert not torch.equal(drawn, sample_autoregressive(prior, positions, condition, temperature=0.0))


@every_kind
def test_every_sampler_takes_the_condition(kind: str) -> None:
    prior = lively_prior(kind)
    condition = conditions_of(prior, 2)
    one_by_one = sample_autoregressive(prior, torch.arange(CELLS), condition, seed=1)
    assert torch.equal(sample_groups(prior, torch.arange(CELLS), condition, groups=(1,) * CELLS, seed=1), one_by_one)
    other = condition.roll(1, 1) if kind != "prefix" else (condition + 1).clamp_max(CONDITION_CODES - 1)
    assert not torch.equal(sample_autoregressive(prior, torch.arange(CELLS), other, seed=1)[1:], one_by_one[1:])
    for order in CONFIDENCE_ORDERS:
        found = sample_by_confidence(prior, condition, order=order, groups=(2,) * (CELLS // 2), guidance=2.0, seed=1)
        assert found.codes(height=HEIGHT, width=WIDTH).shape == (2, HEIGHT, WIDTH)


@every_kind
@pytest.mark.parametrize("groups", [(1,) * CELLS, (2,) * (CELLS // 2)])
def test_replayed_passes_draw_the_same_codes(
    kind: str, groups: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, positions = lively_prior(kind).double(), torch.stack([torch.randperm(CELLS) for _ in range(3)])
    condition = conditions_of(prior, 3)
    drawn = []
    for captured_on in ((), ("cpu", "cuda")):  # without a GPU the same computation runs unrecorded
        monkeypatch.setattr(guided, "CAPTURED_ON", captured_on)
        drawn.append(sample_groups(prior, positions, condition, groups=groups, guidance=2.0, seed=4))
    assert torch.equal(drawn[0], drawn[1])
