"""The benchmark program runs, at a toy size; of its figures only what does not depend on the machine is looked at."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vqgen.interop import from_taming

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.skipif(not FOLDER.exists(), reason="benchmarks are not part of an installed package")
def test_tokenizer_benchmark_compares_with_its_peers_and_writes_nothing() -> None:
    pytest.importorskip("taming.modules.diffusionmodules.model")
    pytest.importorskip("diffusers")
    readme = (FOLDER / "README.md").read_text()
    contestants = ["vqgen, fp32 (default)", "taming-transformers, fp32", "diffusers, fp32"]
    command = [sys.executable, str(FOLDER / "tokenizer.py"), "--quick", "--batch-sizes", "2", "--no-memory"]
    output = subprocess.run(
        [*command, "--contestants", *contestants], check=True, capture_output=True, text=True
    ).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    speed = [row[:3] for row in rows if row[0] in contestants and len(row) == 9]
    assert speed == [[name, memory, "2"] for memory in ("as it comes", "freed memory kept") for name in contestants]
    (agreement,) = [row for row in rows if len(row) == 3 and row[0] == contestants[0]]
    assert agreement[1] == "100.00%"
    assert int(agreement[2].removesuffix(" dB")) > 80
    assert (FOLDER / "README.md").read_text() == readme


def test_the_limit_counts_a_quarter_of_the_products_of_3x3_convolutions(monkeypatch) -> None:
    pytest.importorskip("taming.modules.diffusionmodules.model")
    monkeypatch.syspath_prepend(str(FOLDER))
    program = runpy.run_path(str(FOLDER / "tokenizer.py"))
    size = program["QUICK"]
    found = program["products"](size)
    model = from_taming(program["weights"](size)).eval()
    for part, given, direction in (
        (model.encoder, torch.zeros(1, 3, size.side, size.side), "encode"),
        (model.decoder, torch.zeros(1, size.dim, size.cells, size.cells), "decode"),
    ):
        spared = []
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3) and layer.stride == (1, 1):
                layer.register_forward_hook(
                    lambda layer, _, out, spared=spared: spared.append(2 * 9 * layer.in_channels * out.numel() * 3 / 4)
                )
        with torch.no_grad():
            part(given)
        assert found[direction]["direct"] - found[direction]["winograd"] == sum(spared) > 0
        assert found[direction]["winograd"] > sum(spared) / 3
