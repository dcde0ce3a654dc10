"""The benchmark of masked priors runs, at a toy size; no figure of it is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
README = BENCHMARKS.parent / "vqgen" / "sampling" / "README.md"


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks are not part of an installed package")
def test_it_prints_a_row_for_every_way_to_draw_and_writes_nothing() -> None:
    before = README.read_text()
    command = [sys.executable, str(BENCHMARKS / "masked.py"), "--quick"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for prior, decoding in [("any order", "halton |"), ("any order", "random |"), ("masked, uniform", "masked | 4.5")]:
        for steps in (8, 16, 32, 64):
            found = [line for line in lines if line.startswith(f"| {prior} | {decoding}") and f" | {steps} |" in line]
            assert len(found) == 1
    assert README.read_text() == before
