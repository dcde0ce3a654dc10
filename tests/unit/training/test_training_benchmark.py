"""benchmarks/training.py at a toy size: its rows, that it writes nothing, and the count behind its limit."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "training.py"
README = PROGRAM.parent / "README.md"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


def test_quick_prints_its_rows_and_writes_nothing(monkeypatch, capsys):
    before = README.read_text()
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    own = ["vqgen, gpt style", "vqgen, llama style, Muon"]
    monkeypatch.setattr(sys, "argv", ["training.py", "--quick", "--no-memory", "--contestants", *own])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    expected = [[f"| {name}", precision] for precision in ("fp32", "bf16") for name in (*own, "limit")]
    assert sorted(rows[1:]) == sorted(expected)
    assert README.read_text() == before


def test_products_are_counted_as_torch_counts_them(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    program = runpy.run_path(str(PROGRAM))
    size = program["Size"](depth=2, dim=32, heads=2, vocabulary=64, height=4, width=4)
    learner = program["build"]("vqgen, gpt style", size, "cpu")
    sequence = torch.zeros(3, size.steps, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        learner.loss(sequence).backward()
    weights = 6 * size.depth * 12 * size.dim**2 + 6 * size.vocabulary * size.dim
    counted = counter.get_total_flops() / sequence.numel()
    pairs = counted - weights  # torch counts all pairs of the forward pass, and of the backward pass its own way
    assert 0 <= pairs <= 4 * (program["products_per_token"](size) - weights)
