"""What compiled kernels draw is what the prior draws."""

import shutil

import pytest
import torch

from vqgen.prior import Prior
from vqgen.sampling import compile_for_sampling, sample_autoregressive, sample_groups

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def lively_prior() -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 3, 3, 2, dim=16, depth=1, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return prior


@needs_compiler
def test_a_compiled_prior_draws_the_same_codes() -> None:
    prior = lively_prior()
    compiled = compile_for_sampling(prior)
    positions, labels = torch.randperm(9), torch.tensor([1])
    for seed in range(3):
        expected = sample_autoregressive(prior, positions, labels, seed=seed)
        assert torch.equal(sample_autoregressive(compiled, positions, labels, seed=seed), expected)
    prefix = expected[:, :4]
    expected = sample_autoregressive(prior, positions, labels, prefix=prefix, seed=9)
    assert torch.equal(sample_autoregressive(compiled, positions, labels, prefix=prefix, seed=9), expected)


@needs_compiler
def test_a_compiled_prior_draws_the_same_codes_in_groups() -> None:
    prior, positions, labels = lively_prior(), torch.randperm(9), torch.tensor([1])
    expected = sample_groups(prior, positions, labels, groups=(1, 2, 3, 3))
    drawn = sample_groups(compile_for_sampling(prior), positions, labels, groups=(1, 2, 3, 3))
    assert torch.equal(drawn, expected)


def test_compiling_leaves_the_prior_as_it_was() -> None:
    prior = lively_prior().train()
    compiled = compile_for_sampling(prior)
    assert compiled.compiled
    assert not compiled.training
    assert prior.training
    assert not prior.compiled
    assert "_predict" not in vars(prior)
    assert compiled.head.weight is prior.head.weight


def test_compiling_without_a_compiler_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"needs a C\+\+ compiler, and none was found; install g\+\+"):
        compile_for_sampling(lively_prior())
