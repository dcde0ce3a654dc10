"""The benchmark program runs, at a toy size and without its peers; no figure of it is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "sampling.py"


@pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")
def test_sampling_benchmark_prints_a_row_per_contestant_and_writes_nothing() -> None:
    readme = (PROGRAM.parent / "README.md").read_text()
    command = [sys.executable, str(PROGRAM), "--quick", "--batch-sizes", "2", "--contestants", "vqgen, gpt style"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in output.splitlines() if line.startswith("| vqgen, gpt style")]
    assert [row.split(" | ")[1] for row in rows] == ["2"]
    assert (PROGRAM.parent / "README.md").read_text() == readme
