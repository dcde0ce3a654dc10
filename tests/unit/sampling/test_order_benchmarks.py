"""The benchmarks of signals, orders and groups run, at a toy size; no figure of theirs is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
READMES = (BENCHMARKS / "README.md", BENCHMARKS.parent / "vqgen" / "prior" / "README.md")


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks are not part of an installed package")
@pytest.mark.parametrize(
    ("program", "options", "rows"),
    [
        (
            "signals.py",
            ["--datasets", "fashion-mnist", "--orders", "raster", "--signals", "step", "target+rotary"],
            ["| `step` | 2.", "| `target+rotary` | 2."],
        ),
        (
            "order.py",
            [
                "--batch-sizes",
                "2",
                "--contestants",
                "vqgen, one by one, `instruction`",
                "vqgen, groups, n / 4 steps, cosine",
            ],
            ["| vqgen, one by one, `instruction` | 2 |", "| vqgen, groups, n / 4 steps, cosine | 2 |"],
        ),
        (
            "groups.py",
            ["--orders", "halton", "most-certain"],
            [f"| {order} | {steps} | " for order in ("halton", "most-certain") for steps in (64, 32, 16, 8)],
        ),
    ],
)
def test_benchmark_prints_its_rows_and_writes_nothing(program: str, options: list[str], rows: list[str]) -> None:
    before = [readme.read_text() for readme in READMES]
    command = [sys.executable, str(BENCHMARKS / program), "--quick", *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for row in rows:
        assert sum(line.startswith(row) for line in output.splitlines()) == 1
    assert [readme.read_text() for readme in READMES] == before
