"""Less precision: the same distribution but for rounding, drawn by the same loops."""

from pathlib import Path

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline

from vqgen.attention import Linear, int8_hindrance
from vqgen.pipeline import Pipeline
from vqgen.prior import MaskedPrior, Prior
from vqgen.sampling import (
    PRECISIONS,
    in_precision,
    precision,
    sample_autoregressive,
    sample_groups,
    sample_masked,
)

needs_int8 = pytest.mark.skipif(int8_hindrance() is not None, reason=str(int8_hindrance()))
LESS = ["bf16", pytest.param("int8", marks=needs_int8)]


def lively(kind: type[Prior] | type[MaskedPrior] = Prior, style: str = "llama") -> Prior | MaskedPrior:
    torch.manual_seed(0)
    prior = kind(20, 3, 4, 2, dim=64, depth=2, heads=2, style=style).eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return prior


@pytest.mark.parametrize("style", ["gpt", "llama"])
@pytest.mark.parametrize("less", LESS)
def test_the_distribution_is_nearly_the_same(less: str, style: str) -> None:
    prior = lively(style=style)
    sequence, positions = torch.randint(20, (6, 12)), torch.randperm(12)
    with torch.inference_mode():
        expected = prior(sequence, positions, torch.arange(6) % 2).log_softmax(-1)
        found = in_precision(prior, less)(sequence, positions, torch.arange(6) % 2).float().log_softmax(-1)
    assert not torch.equal(found, expected)
    divergence = (expected.exp() * (expected - found)).sum(-1).mean()
    assert divergence < 1e-3


@pytest.mark.parametrize("less", LESS)
def test_a_cache_gives_what_a_whole_pass_gives(less: str) -> None:
    prior, positions = in_precision(lively(), less), torch.randperm(12)
    sequence = sample_autoregressive(prior, positions, torch.tensor([0, 1]), temperature=0.0)
    with torch.inference_mode():
        likeliest = prior(sequence, positions, torch.tensor([0, 1])).float()
        chosen = likeliest.gather(-1, sequence[..., None])[..., 0]
    # Within rounding: bf16 sums in another order with a cache than without.
    assert (likeliest.amax(-1) - chosen).max() < (0.05 if less == "bf16" else 1e-4)


@needs_int8
def test_in_int8_an_image_does_not_depend_on_the_batch() -> None:
    prior, positions, labels = in_precision(lively(), "int8"), torch.randperm(12), torch.tensor([0, 1, 1])
    together = sample_groups(prior, positions, labels, groups=(1, 1, 2, 4, 4), guidance=2.0, seed=3)
    for i in range(3):
        alone = sample_groups(
            prior, positions, labels[i : i + 1], groups=(1, 1, 2, 4, 4), guidance=2.0, seed=3, first_index=i
        )
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("less", LESS)
def test_a_masked_prior_draws_in_less_precision_too(less: str) -> None:
    codes = sample_masked(in_precision(lively(MaskedPrior), less), torch.tensor([0, 1]), steps=4)
    assert codes.shape == (2, 3, 4)


@pytest.mark.parametrize("less", LESS)
def test_the_prior_itself_stays_as_it_was(less: str) -> None:
    prior = lively().train()
    state = {name: tensor.clone() for name, tensor in prior.state_dict().items()}
    copy = in_precision(prior, less)
    assert prior.training
    assert not copy.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in prior.state_dict().items())
    assert type(prior.head) is Linear


def test_fp32_is_the_prior_itself() -> None:
    prior = lively()
    assert in_precision(prior, "fp32") is prior


def test_where_int8_is_not_to_be_had_bf16_is_drawn_in_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "int8_hindrance", lambda device: "the moon is full")
    with pytest.warns(UserWarning, match="drawing in bf16 in place of int8: the moon is full"):
        prior = in_precision(lively(), "int8")
    assert prior.head.weight.dtype == torch.bfloat16


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision must be one of fp32, bf16, int8, got 'fp8'"):
        in_precision(lively(), "fp8")
    assert PRECISIONS == ("fp32", "bf16", "int8")


def test_a_compiled_prior_keeps_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = lively()
    prior.__dict__["compiled"] = True
    with pytest.raises(ValueError, match="choose the precision first, then compile"):
        in_precision(prior, "bf16")


@needs_int8
def test_a_pipeline_in_int8_draws_and_saves_the_weights_it_was_trained_to(tmp_path: Path) -> None:
    pipeline = make_tiny_pipeline()
    fast = pipeline.in_precision("int8")
    assert fast.generate(2).shape == pipeline.generate(2).shape
    fast.save_pretrained(tmp_path)
    saved, kept = Pipeline.from_pretrained(tmp_path).prior.state_dict(), pipeline.prior.state_dict()
    assert saved.keys() == kept.keys()
    assert all(torch.equal(saved[name], kept[name]) for name in kept)
