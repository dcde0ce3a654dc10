"""What compiled kernels draw is what the prior draws."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vqgen.attention import gemv_hindrance, int8_hindrance
from vqgen.prior import Prior
from vqgen.sampling import compile_for_sampling

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def lively_prior() -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 3, 3, 2, dim=16, depth=1, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return prior


PROGRAM = """
import sys
import torch
import torch._inductor.freezing
from vqgen.attention import GemvAttention, GemvInt8Linear, GemvLinear, Local2D, linear
from vqgen.prior import Prior
from vqgen.sampling import compile_for_sampling, in_precision, sample_autoregressive, sample_groups

precision, attention, device, products = sys.argv[1:]
linear.gemv_is_faster = lambda: products == "gemv"


def compare(style):
    constants = []
    replace = torch._inductor.freezing.replace_params_with_constants
    torch._inductor.freezing.replace_params_with_constants = lambda graph, weights, *rest: (
        constants.append(len(weights)) or replace(graph, weights, *rest)
    )
    torch.manual_seed(0)
    chosen = Local2D(block=1, margin=1) if attention == "local" else None
    prior = Prior(20, 3, 3, 2, dim=16, depth=2, heads=2, attention=chosen, style=style)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    prior = in_precision(prior.to(device), precision)
    fast = compile_for_sampling(prior)
    positions, labels = torch.randperm(9), torch.tensor([1])
    for seed in range(3):
        expected = sample_autoregressive(prior, positions, labels, seed=seed)
        assert torch.equal(sample_autoregressive(fast, positions, labels, seed=seed), expected), seed
    if precision == "fp32" and products == "gemv":  # more sequences than our kernels take
        several = torch.tensor([0, 1, 1, 0, 1, 0])
        expected = sample_autoregressive(prior, positions, several)
        assert torch.equal(sample_autoregressive(fast, positions, several), expected), "several"
    known = {"prefix": expected[:1, :4], "seed": 9}
    expected = sample_autoregressive(prior, positions, labels, **known)
    assert torch.equal(sample_autoregressive(fast, positions, labels, **known), expected), "prefix"
    ours = {type(layer) for layer in fast.modules()} & {GemvInt8Linear, GemvLinear, GemvAttention}
    assert len(ours) == (0 if products == "torch" else 1 if attention == "local" else 2), ours
    expected = sample_groups(prior, positions, labels, groups=(1, 2, 3, 3))
    assert torch.equal(sample_groups(fast, positions, labels, groups=(1, 2, 3, 3)), expected), "groups"
    if products == "gemv" and attention == "dense":
        assert constants
        assert min(constants) > 20, constants  # every pass that was compiled holds the weights of its layers


compare("llama")
compare("gpt")  # what was compiled for one prior does not hinder another one, of other sizes
"""


@needs_compiler
@pytest.mark.parametrize(
    ("precision", "attention", "device", "products"),
    [
        ("fp32", "dense", "cpu", "torch"),
        ("fp32", "dense", "cpu", "gemv"),
        ("int8", "dense", "cpu", "torch"),
        ("int8", "dense", "cpu", "gemv"),
        ("fp32", "local", "cpu", "gemv"),
        ("fp32", "dense", "cuda", "torch"),
    ],
)
def test_a_compiled_prior_draws_the_same_codes(precision: str, attention: str, device: str, products: str) -> None:
    if device == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")
        pytest.importorskip("triton")
    if products == "gemv" and gemv_hindrance():
        pytest.skip(str(gemv_hindrance()))
    if precision == "int8" and int8_hindrance():
        pytest.skip("this machine does not multiply 8-bit integers")
    # In a process of its own: the compiler does not see through the run-time type checks of tests.
    command = [sys.executable, "-c", PROGRAM, precision, attention, device, products]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


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


def test_every_compiled_pass_leaves_weights_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    real = torch.compile

    def compile_and_tell(step: Callable[..., Tensor], options: dict[str, object], **named: Any) -> Any:
        given.append(dict(options))
        return real(step, options=options, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", compile_and_tell)
    compile_for_sampling(lively_prior())
    assert len(given) == 2
    assert all("guard_filter_fn" in options for options in given)
