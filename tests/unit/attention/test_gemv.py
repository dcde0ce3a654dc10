import platform
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from vqgen.attention import GemvLinear, Int8Linear, gemv, gemv_hindrance, gemv_is_faster, int8_hindrance

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
    assert torch.equal(GemvLinear(layer)(rows), layer(rows))


@needs_gemv
def test_rows_need_not_lie_one_after_the_other() -> None:
    layer, rows = nn.Linear(8, 5), torch.randn(8, 3).t()
    torch.testing.assert_close(GemvLinear(layer)(rows), layer(rows))
    integers = Int8Linear(layer)
    assert torch.equal(GemvLinear(integers)(rows), integers(rows))


@needs_gemv
def test_it_shares_the_weights_and_adds_nothing_to_what_is_saved() -> None:
    layer = nn.Linear(8, 5)
    fast = GemvLinear(layer)
    assert fast.weight is layer.weight
    assert fast.state_dict().keys() == layer.state_dict().keys()


def test_it_says_why_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemv, "gemv_hindrance", lambda: "there is no C++ compiler")
    with pytest.raises(RuntimeError, match=r"kernels for a few rows cannot be had: there is no C\+\+ compiler"):
        GemvLinear(nn.Linear(8, 5))


def test_elsewhere_than_on_linux_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert gemv_hindrance.__wrapped__() == "they are built on Linux, and this is Darwin"


@pytest.mark.skipif(platform.system() != "Linux", reason="built on Linux")
@pytest.mark.parametrize("broken", ["no compiler", "no source"])
def test_what_cannot_be_built_is_told_and_leaves_nothing(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gemv, "gemv_is_faster", lambda: True)
    if broken == "no compiler":
        monkeypatch.setattr(shutil, "which", lambda name: None)
        expected = r"there is no C\+\+ compiler; install g\+\+ or clang"
    else:
        if shutil.which("g++") is None:
            pytest.skip("needs a C++ compiler")
        monkeypatch.setattr(gemv, "SOURCE", tmp_path / "broken.cpp")
        (tmp_path / "broken.cpp").write_text("this is no C++")
        expected = "broken.cpp:1"
    with pytest.warns(UserWarning, match=f"drawing goes on without the kernels for few rows, slower: .*{expected}"):
        reason = gemv_hindrance.__wrapped__()
    assert reason is not None
    assert reason.startswith("they could not be built")
    assert not list(tmp_path.rglob("*.so"))


def test_the_rule_names_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(gemv, "processor_is_intel", lambda: True)
    assert not gemv_is_faster()
    monkeypatch.setattr(gemv, "processor_is_intel", lambda: False)
    assert gemv_is_faster()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not gemv_is_faster()
