"""benchmarks/attention.py at toy size: its table, and that it writes nothing."""

import runpy
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "attention.py"
README = PROGRAM.parents[1] / "vqgen" / "attention" / "README.md"


@pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")
def test_quick_prints_every_attention_and_writes_nothing(monkeypatch, capsys):
    before = README.read_text()
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    monkeypatch.setattr(sys, "argv", ["attention.py", "--quick"])
    program = runpy.run_path(str(PROGRAM), run_name="__main__")
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows == ["| attention", *(f"| {name}" for name in program["contestants"]("cpu"))]
    assert README.read_text() == before
