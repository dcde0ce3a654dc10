import math

import pytest
import torch
from torch import Tensor

from vqgen.sampling import draw_codes, filter_logits


def naive_filter(row: list[float], temperature: float, top_k: int | None, top_p: float | None) -> set[int]:
    """Indices that survive, by ranking and adding up one code at a time."""
    ranked = sorted(range(len(row)), key=lambda code: -row[code])
    ranked = ranked[: top_k or len(row)]
    weights = [math.exp(row[code] / temperature) for code in ranked]
    kept, mass = set(), 0.0
    for code, weight in zip(ranked, weights, strict=True):
        if top_p is not None and mass >= top_p:
            break
        kept.add(code)
        mass += weight / sum(weights)
    return kept


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 7, 40, 100])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.95, 1.0])
def test_filter_logits_keeps_what_a_naive_ranking_keeps(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 40) * 2.0
    filtered = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    for before, after in zip(logits, filtered, strict=True):
        kept = after.isfinite()
        assert set(kept.nonzero().flatten().tolist()) == naive_filter(before.tolist(), temperature, top_k, top_p)
        torch.testing.assert_close(after[kept], before[kept] / temperature)


def test_filter_logits_at_temperature_zero_keeps_the_first_of_the_most_likely() -> None:
    filtered = filter_logits(torch.tensor([[1.0, 5.0, 5.0]]), temperature=0.0, top_k=3, top_p=0.9)
    assert filtered.isfinite().tolist() == [[False, True, False]]


def test_filter_logits_keeps_codes_as_likely_as_the_last_one_kept() -> None:
    logits = torch.tensor([[3.0, 1.0, 1.0, 0.0]])
    assert filter_logits(logits, top_k=2).isfinite().tolist() == [[True, True, True, False]]
    assert filter_logits(logits, top_p=0.8).isfinite().tolist() == [[True, True, True, False]]


def test_filter_logits_passes_over_codes_that_are_forbidden_already() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0, -torch.inf]])
    assert torch.equal(filter_logits(logits, top_k=3, top_p=0.99), logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature must be >= 0 and finite, got -1.0"),
        ({"temperature": math.nan}, "temperature must be >= 0 and finite, got nan"),
        ({"top_k": 0}, "top_k must be >= 1, got 0; pass None"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0; pass None"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1.5"),
    ],
)
def test_filter_logits_refuses_filters_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_logits(torch.zeros(1, 4), **settings)


def naive_draw(row: Tensor, uniform: float) -> int:
    total = 0.0
    for code, probability in enumerate(row.double().softmax(0).tolist()):
        total += probability
        if total > uniform:
            return code
    raise AssertionError("probabilities sum to less than the number")


def test_draw_codes_inverts_the_cumulative_distribution() -> None:
    torch.manual_seed(0)
    logits, uniforms = torch.randn(200, 30), torch.rand(200, dtype=torch.float64)
    expected = [naive_draw(row, float(uniform)) for row, uniform in zip(logits, uniforms, strict=True)]
    assert draw_codes(logits, uniforms).tolist() == expected


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0 - 2.0**-53])
def test_draw_codes_never_draws_a_forbidden_code(uniform: float) -> None:
    for allowed in range(5):
        logits = torch.full((1, 5), -torch.inf)
        logits[0, allowed] = 0.3
        assert draw_codes(logits, torch.tensor([uniform], dtype=torch.float64)).tolist() == [allowed]


def test_draw_codes_draws_each_code_as_often_as_its_probability_says() -> None:
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3])
    uniforms = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000  # evenly spread: no luck involved
    drawn = draw_codes(probabilities.log().repeat(10_000, 1), uniforms)
    assert torch.bincount(drawn, minlength=4).tolist() == [1000, 0, 6000, 3000]


def test_draw_codes_of_a_row_does_not_depend_on_the_other_rows() -> None:
    torch.manual_seed(0)
    logits, uniforms = torch.randn(64, 1024), torch.rand(64, dtype=torch.float64)
    alone = torch.cat([draw_codes(logits[row : row + 1], uniforms[row : row + 1]) for row in range(64)])
    assert torch.equal(draw_codes(logits, uniforms), alone)
