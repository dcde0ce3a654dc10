"""The benchmark of grids as conditions runs, at a toy size; no figure of it is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
README = BENCHMARKS.parent / "vqgen" / "conditioning" / "README.md"


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks are not part of an installed package")
def test_every_contestant_is_measured_and_nothing_is_written() -> None:
    before = README.read_text()
    command = [sys.executable, str(BENCHMARKS / "spatial.py"), "--quick", "--orders", "raster"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for start in (
        "| colourisation | raster | nothing | 2.7",
        "| colourisation | raster | aligned, context | 2.7",
        "| super-resolution | raster | prefix | 2.7",
        "| colourisation | | *the tokenizer's reconstruction* | | | ",
    ):
        assert start in done.stdout
    assert README.read_text() == before
    assert before.count("<!-- spatial: begin -->") == before.count("<!-- spatial: end -->") == 1
