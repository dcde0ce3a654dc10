"""benchmarks/segment_memory.py at toy size: its table, that it writes nothing, and that it counts what is done."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vqgen.attention import SegmentAttention
from vqgen.prior import Prior

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "segment_memory.py"
README = PROGRAM.parents[1] / "vqgen" / "attention" / "README.md"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    return runpy.run_path(str(PROGRAM))


def test_quick_prints_every_way_and_writes_nothing(monkeypatch, capsys):
    before = README.read_text()
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    monkeypatch.setattr(sys, "argv", ["segment_memory.py", "--quick"])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if line.startswith("| ")]) == 6
    assert README.read_text() == before


def counted(run) -> int:
    """Multiply-adds of all products but the head's, 32 by 16."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2 - 32 * 16


@pytest.mark.parametrize("way", ["memory", "dense"])
def test_multiply_adds_are_those_that_are_counted(program, way: str) -> None:
    torch.manual_seed(0)
    attention = SegmentAttention(4, memory=4) if way == "memory" else None
    prior = Prior(16, 4, 4, dim=32, depth=1, heads=2, signals=("target",), attention=attention).requires_grad_(False)
    codes, cache, positions = torch.randint(16, (1, 16)), prior.new_cache(1), torch.arange(16)
    prior.advance(codes[:, :11], positions, cache)
    found = [  # over the last segment
        counted(lambda step=step: prior.advance(codes[:, step - 1 : step], positions, cache)) for step in range(12, 16)
    ]
    inner = prior.blocks[0].feed_forward.narrow.in_features
    sizes = {"dim": 32, "inner": inner, "segment": 4, "memory": 4}
    said = [program["multiply_adds"](way, **sizes, step=step + 1) for step in range(12, 16)]
    assert sum(found) == sum(said)
    assert min(found) > 0
