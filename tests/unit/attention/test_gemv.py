import platform
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from vqgen.attention import GemvInt8Linear, GemvLinear, Int8Linear, gemv, gemv_hindrance, gemv_is_faster, int8_hindrance

needs_gemv = pytest.mark.skipif(gemv_hindrance() is not None, reason=str(gemv_hindrance()))
needs_int8 = pytest.mark.skipif(int8_hindrance() is not None, reason=str(int8_hindrance()))
SHAPES = [(96,), (1, 96), (3, 1, 96), (2, 4, 96), (70, 96), (2, 0, 96)]
"""Few rows, rows that torch takes over, and none."""


@needs_gemv
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_the_layer(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, rows = nn.Linear(96, 40, bias=bias).to(dtype), torch.randn(shape).to(dtype)
    found, expected = GemvLinear(layer)(rows), layer(rows)
    assert (found.shape, found.dtype) == (expected.shape, dtype)
    torch.testing.assert_close(found, expected, atol=1e-6 if dtype == torch.float32 else 0.01, rtol=0.01)


@needs_gemv
@needs_int8
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_integers_it_computes_the_very_numbers(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, rows = Int8Linear(nn.Linear(96, 40, bias=bias)), torch.randn(shape)
    assert torch.equal(GemvInt8Linear(layer)(rows), layer(rows))


@needs_gemv
@needs_int8
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_finite_shows(broken: float) -> None:
    layer, rows = Int8Linear(nn.Linear(96, 40)), torch.randn(3, 96)
    rows[1, 50] = broken
    found = GemvInt8Linear(layer)(rows)
    assert not found[1].isfinite().any()
    assert torch.equal(found[::2], layer(rows)[::2])


@needs_gemv
def test_rows_need_not_lie_one_after_the_other() -> None:
    layer, rows = nn.Linear(8, 5), torch.randn(8, 3).t()
    torch.testing.assert_close(GemvLinear(layer)(rows), layer(rows))
    integers = Int8Linear(layer)
    assert torch.equal(GemvInt8Linear(integers)(rows), integers(rows))


@needs_gemv
@pytest.mark.parametrize("integers", [False, True])
def test_it_shares_the_weights_and_adds_nothing_to_what_is_saved(integers: bool) -> None:
    layer = nn.Linear(8, 5)
    fast = GemvInt8Linear(Int8Linear(layer)) if integers else GemvLinear(layer)
    assert fast.weight is layer.weight
    assert fast.state_dict().keys() == layer.state_dict().keys()


def test_it_says_why_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemv, "gemv_hindrance", lambda: "there is no C++ compiler")
    with pytest.raises(RuntimeError, match=r"kernels for a few rows cannot be had: there is no C\+\+ compiler"):
        GemvLinear(nn.Linear(8, 5))


def test_elsewhere_than_on_linux_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert gemv._hindrance.__wrapped__() == "they are built on Linux, and this is Darwin"


@pytest.mark.skipif(platform.system() != "Linux", reason="built on Linux")
def test_without_a_compiler_it_is_not_built_and_nobody_is_bothered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    reason = gemv._hindrance.__wrapped__()
    assert reason == "they could not be built: there is no C++ compiler; install g++ or clang"
    assert not recwarn


@pytest.mark.skipif(platform.system() != "Linux" or shutil.which("g++") is None, reason="built on Linux by a compiler")
def test_a_failed_build_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gemv, "gemv_is_faster", lambda: True)
    monkeypatch.setattr(gemv, "SOURCE", tmp_path / "broken.cpp")
    (tmp_path / "broken.cpp").write_text("this is no C++")
    with pytest.warns(UserWarning, match="without the kernels for few rows, slower: .*broken.cpp:1"):
        reason = gemv._hindrance.__wrapped__()
    assert "building kernels for this processor, once" in caplog.text
    assert reason is not None
    assert reason.startswith("they could not be built")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "broken.cpp"]


def test_one_variable_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQGEN_RUNTIME", "off")
    assert gemv._hindrance.__wrapped__() == "switched off by VQGEN_RUNTIME"


def test_other_types_of_weights_are_refused() -> None:
    if gemv_hindrance() is None:
        with pytest.raises(ValueError, match=r"fp32 or bf16, got torch\.float64"):
            GemvLinear(nn.Linear(8, 5).double())


def test_the_rule_names_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(gemv, "processor_is_intel", lambda: True)
    assert not gemv_is_faster()
    monkeypatch.setattr(gemv, "processor_is_intel", lambda: False)
    assert gemv_is_faster()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not gemv_is_faster()
