"""The benchmark program runs, at a toy size; of its figures only what does not depend on the machine is looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.skipif(not FOLDER.exists(), reason="benchmarks are not part of an installed package")
def test_tokenizer_benchmark_compares_with_its_peers_and_writes_nothing() -> None:
    pytest.importorskip("taming.modules.diffusionmodules.model")
    pytest.importorskip("diffusers")
    readme = (FOLDER / "README.md").read_text()
    contestants = ["vqgen, fp32 (default)", "taming-transformers, fp32", "diffusers, fp32"]
    command = [sys.executable, str(FOLDER / "tokenizer.py"), "--quick", "--batch-sizes", "2", "--parts"]
    output = subprocess.run(
        [*command, "--contestants", *contestants], check=True, capture_output=True, text=True
    ).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    speed = [row[:3] for row in rows if row[0] in contestants and len(row) == 8]
    assert speed == [[name, memory, "2"] for memory in ("as it comes", "freed memory kept") for name in contestants]
    (agreement,) = [row for row in rows if len(row) == 3 and row[0] == contestants[0]]
    assert agreement[1] == "100.00%"
    assert int(agreement[2].removesuffix(" dB")) > 80
    assert (FOLDER / "README.md").read_text() == readme
