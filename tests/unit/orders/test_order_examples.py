import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import torch

import vqgen.orders

MODULES = [f"vqgen.orders.{module.name}" for module in pkgutil.iter_modules(vqgen.orders.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0


def test_examples_in_readme_hold(tmp_path, monkeypatch):
    readme = Path(vqgen.orders.__file__).parent / "README.md"
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(readme), module_relative=False, globs={"torch": torch})
    assert found.failed == 0
    assert found.attempted > 5
