import math

import pytest
import torch
from torch import Tensor

from vqgen.prior import Prior
from vqgen.sampling import draw_codes, filter_logits, guidance_ramp, image_uniforms, sample_autoregressive

CELLS = 6


def lively_prior(num_classes: int = 0) -> Prior:
    """A prior whose distributions are neither flat nor certain, in double precision so that comparisons are exact."""
    torch.manual_seed(0)
    prior = Prior(20, 2, 3, num_classes, dim=16, depth=2, heads=2, dropout=0.2).double()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


@torch.no_grad()
def naive_sample(
    prior: Prior,
    positions: Tensor,
    labels: Tensor | None,
    seed: int,
    *,
    scales: list[float] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    batch_size: int = 3,
) -> Tensor:
    """No cache, two explicit passes for guidance, the whole sequence again at every step."""
    prior = prior.eval()
    sequence = torch.zeros(batch_size, CELLS, dtype=torch.int64)
    uniforms = image_uniforms(seed, first_index=0, batch_size=batch_size, steps=CELLS)
    for step in range(CELLS):
        logits = prior(sequence, positions, labels)[:, step]
        if scales is not None:
            unconditional = prior(sequence, positions, None)[:, step]
            logits = unconditional + scales[step] * (logits - unconditional)
        if temperature == 0.0:
            sequence[:, step] = logits.argmax(-1)
        else:
            kept = filter_logits(logits, temperature=temperature, top_k=top_k)
            sequence[:, step] = draw_codes(kept, uniforms[:, step])
    return sequence


def test_sample_equals_a_naive_loop_without_cache() -> None:
    prior, positions = lively_prior(), torch.stack([torch.randperm(CELLS) for _ in range(3)])
    drawn = sample_autoregressive(prior, positions, seed=4, temperature=0.8, top_k=6)
    assert torch.equal(drawn, naive_sample(prior, positions, None, 4, temperature=0.8, top_k=6))


def test_sample_at_temperature_zero_equals_a_greedy_loop() -> None:
    prior, positions = lively_prior(num_classes=3), torch.randperm(CELLS)
    labels = torch.tensor([0, 1, 2])
    drawn = sample_autoregressive(prior, positions, labels, temperature=0.0)
    assert torch.equal(drawn, naive_sample(prior, positions, labels, 0, temperature=0.0))


@pytest.mark.parametrize("positions", [torch.arange(CELLS), torch.arange(CELLS).repeat(3, 1)], ids=["shared", "each"])
def test_sample_with_guidance_equals_two_explicit_passes(positions: Tensor) -> None:
    prior, labels = lively_prior(num_classes=3), torch.tensor([2, 0, 1])
    drawn = sample_autoregressive(prior, positions, labels, seed=4, guidance=3.0)
    assert torch.equal(drawn, naive_sample(prior, positions, labels, 4, scales=[3.0] * CELLS))
    assert not torch.equal(drawn, sample_autoregressive(prior, positions, labels, seed=4))


def test_sample_with_ramped_guidance_equals_two_explicit_passes() -> None:
    prior, labels = lively_prior(num_classes=3), torch.tensor([2, 0, 1])
    drawn = sample_autoregressive(prior, torch.arange(CELLS), labels, seed=4, guidance=guidance_ramp("linear", 6.0))
    assert torch.equal(drawn, naive_sample(prior, torch.arange(CELLS), labels, 4, scales=[1, 2, 3, 4, 5, 6]))


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 3), (lambda progress: 1.0, 3), (2.0, 6)])
def test_sample_takes_a_second_pass_only_where_guidance_needs_it(guidance: float, rows: int) -> None:
    prior, seen = lively_prior(num_classes=3), []
    prior.final_norm.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    sample_autoregressive(prior, torch.arange(CELLS), torch.tensor([0, 1, 2]), guidance=guidance)
    assert seen == [rows] * CELLS


@pytest.mark.parametrize("known", [0, 1, 4, 6])
def test_sample_keeps_the_prefix_and_completes_it_as_if_it_had_drawn_it(known: int) -> None:
    prior = lively_prior()
    whole = sample_autoregressive(prior, torch.arange(CELLS), batch_size=3, seed=4)
    completed = sample_autoregressive(prior, torch.arange(CELLS), prefix=whole[:, :known], seed=4)
    assert torch.equal(completed, whole)


def test_sample_completes_a_foreign_prefix_with_guidance() -> None:
    prior, prefix = lively_prior(num_classes=3), torch.tensor([[7, 7, 7], [1, 2, 3]])
    drawn = sample_autoregressive(prior, torch.arange(CELLS), torch.tensor([0, 1]), prefix=prefix, guidance=2.0)
    assert torch.equal(drawn[:, :3], prefix)


def test_sample_stops_where_a_partial_order_does() -> None:
    prior, positions = lively_prior(), torch.tensor([4, 0, 5])
    assert sample_autoregressive(prior, positions, batch_size=2).shape == (2, 3)


def test_on_step_sees_each_code_as_it_is_drawn() -> None:
    prior, seen = lively_prior(), []
    prefix = torch.tensor([[3, 4], [5, 6]])
    drawn = sample_autoregressive(
        prior, torch.arange(CELLS), prefix=prefix, on_step=lambda step, so_far: seen.append((step, so_far.clone()))
    )
    assert [step for step, _ in seen] == [2, 3, 4, 5]
    assert all(torch.equal(so_far, drawn[:, : step + 1]) for step, so_far in seen)


def test_sample_leaves_the_prior_in_training_mode_and_ignores_its_dropout() -> None:
    prior = lively_prior(num_classes=3).train()
    first, second = (sample_autoregressive(prior, torch.arange(CELLS), torch.tensor([0, 1]), seed=4) for _ in range(2))
    assert all(module.training for module in prior.modules())
    assert torch.equal(first, second)


def test_sample_can_be_trained_on() -> None:
    prior = lively_prior()
    drawn = sample_autoregressive(prior, torch.arange(CELLS), batch_size=2)
    prior(drawn, torch.arange(CELLS)).sum().backward()
    assert prior.head.weight.grad is not None


def test_sample_draws_codes_with_the_prior_s_probabilities() -> None:
    prior = Prior(3, 1, 1, dim=4, depth=1, heads=1)
    with torch.no_grad():
        prior.conditioner.start.copy_(torch.tensor([1.0, -1.0, 1.0, -1.0]))
        prior.head.weight.copy_(torch.tensor([[0.5], [0.3], [0.2]]).log() @ torch.tensor([[0.25, -0.25, 0.25, -0.25]]))
        prior.additive_signals["target"].content.rows.weight.zero_()
        prior.additive_signals["target"].content.columns.weight.zero_()
        prior.additive_signals["target"].target.rows.weight.zero_()
        prior.additive_signals["target"].target.columns.weight.zero_()
    drawn = sample_autoregressive(prior, torch.arange(1), batch_size=4000)
    shares = torch.bincount(drawn.flatten(), minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.03, rtol=0.0)


LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "told how many images to draw, got neither a batch nor a number; pass batch_size="),
        ({"batch_size": 3, "condition": LABELS}, "one number of images, got 3 from batch_size, 2 from condition"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"batch_size": 2, "guidance": 2.0}, "guidance needs a condition to move towards, got none"),
        ({"prefix": torch.zeros(2, 7, dtype=torch.int64)}, "at most one code per step, got 7 codes for 6 steps"),
        ({"prefix": torch.full((2, 3), 20)}, "codes from 0 to 19, got 20 to 20; use codes of the tokenizer"),
        ({"batch_size": 2, "top_k": 0}, "top_k must be >= 1, got 0"),
        ({"batch_size": 2, "positions": torch.arange(7)}, "raster indices from 0 to 5, got 0 to 6"),
    ],
)
def test_sample_refuses_arguments_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_autoregressive(lively_prior(num_classes=3), **{"positions": torch.arange(CELLS), **arguments})


def test_sample_refuses_a_prior_whose_training_diverged() -> None:
    prior = lively_prior()
    with torch.no_grad():
        prior.head.weight[3] = math.nan
    with pytest.raises(ValueError, match="expected finite logits from the prior, got NaN or infinity"):
        sample_autoregressive(prior, torch.arange(CELLS), batch_size=2)
