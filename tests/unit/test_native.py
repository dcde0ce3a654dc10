"""C++ sources of our own: built once, and what is said where they cannot be."""

import platform
import shutil
from pathlib import Path

import pytest
import torch

from vqgen import native
from vqgen.native import native_hindrance

SOURCE = """
#include <ATen/ATen.h>
#include <torch/library.h>
at::Tensor twice(const at::Tensor& x) { return FACTOR * x; }
TORCH_LIBRARY_FRAGMENT(vqgen_test_NAME, library) { library.def("twice", twice); }
"""
on_linux = pytest.mark.skipif(platform.system() != "Linux", reason="built on Linux")
needs_compiler = pytest.mark.skipif(
    platform.system() != "Linux" or shutil.which("g++") is None, reason="built on Linux by a compiler"
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "source.cpp"
    file.write_text(SOURCE.replace("NAME", "built"))
    return file


@pytest.mark.slow
@needs_compiler
def test_it_is_built_once_and_kept(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert native_hindrance(source, "-DFACTOR=2") is None
    assert torch.equal(torch.ops.vqgen_test_built.twice(torch.ones(2)), torch.full((2,), 2.0))
    assert caplog.text.count("building kernels for this processor, once") == 1
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert native._hindrance(source, ("-DFACTOR=2",), None) is None  # no compiler is asked for
    monkeypatch.setenv("XDG_CACHE_HOME", str(source.parent / "elsewhere"))
    assert native_hindrance(source, "-DFACTOR=2", without="other words") is None  # nor is it loaded a second time
    (library,) = (source.parent / "cache").rglob("*.so")
    assert library.name.startswith("source-")
    assert "no C++ compiler" in str(native_hindrance(source, "-DFACTOR=3"))  # other flags, another library


def test_elsewhere_than_on_linux_it_is_not_built(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert native_hindrance(source) == "they are built on Linux, and this is Darwin"


@on_linux
def test_without_a_compiler_it_is_not_built_and_nobody_is_bothered(
    source: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    reason = native_hindrance(source, without="it goes on, slower")
    assert reason == "they could not be built: there is no C++ compiler; install g++ or clang"
    assert not recwarn


@needs_compiler
@pytest.mark.parametrize("without", ["it goes on, slower", None])
def test_a_failed_build_is_told_and_leaves_nothing(
    source: Path, without: str | None, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    source.write_text("this is no C++")
    reason = native_hindrance(source, without=without)
    assert "building kernels for this processor, once" in caplog.text
    assert reason is not None
    assert reason.startswith("they could not be built")
    warned = [str(warning.message) for warning in recwarn]
    assert len(warned) == (without is not None)
    assert all(text.startswith("it goes on, slower: ") and "source.cpp:1" in text for text in warned)
    assert not [path for path in source.parent.rglob("*") if path.is_file() and path != source]


def test_one_variable_leaves_it_out(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQGEN_RUNTIME", "off")
    assert native_hindrance(source) == "switched off by VQGEN_RUNTIME"
