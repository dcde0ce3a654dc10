"""benchmarks/nearest.py at toy size, in this process: every search is exact, and has its row."""

import runpy
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "nearest.py"
SIZE = (40, 64, 8)
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


@pytest.fixture
def program(monkeypatch):
    pytest.importorskip("vector_quantize_pytorch")
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    return runpy.run_path(str(PROGRAM))


def test_every_search_finds_the_nearest_code(program) -> None:
    latents, codebook = program["made"](SIZE)
    nearest = torch.tensor([min(range(64), key=lambda k: float((row - codebook[k]).norm())) for row in latents])
    assert torch.equal(program["true_codes"](latents, codebook), nearest)
    with torch.inference_mode():
        found = program["in_turns"](SIZE, 2)
    assert set(found) == set(program["SEARCHES"]) >= {"vqgen", "vector-quantize-pytorch"}
    for each in found.values():
        assert each["exact"] == 1.0
        assert len(each["milliseconds"]) == 2


def test_a_wrong_search_is_told(program) -> None:
    program["SEARCHES"]["first"] = lambda codebook: lambda latents: torch.zeros(len(latents), dtype=torch.int64)
    with torch.inference_mode():
        assert program["in_turns"](SIZE, 1)["first"]["exact"] < 0.5


def test_table_has_both_allocators_and_the_extra_memory(program) -> None:
    times = {"as it comes": [2.0, 1.0, 4.0], "freed memory kept": [1.0, 1.0, 1.5]}
    rows = [{"size": SIZE, "search": "vqgen", "milliseconds": times, "extra_megabytes": 8.8, "exact": 1.0}]
    (line,) = program["table"](rows).splitlines()[2:]
    assert line == "| 40 | 64 | 8 | vqgen | 2 (1 to 4) | 1 (1 to 1.5) | 9 MB | 100.00% |"
