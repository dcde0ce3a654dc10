"""benchmarks/growth.py at toy size: its tables, that it writes nothing, and what its exponents mean."""

import runpy
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "growth.py"
README = PROGRAM.parent / "README.md"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    return runpy.run_path(str(PROGRAM))


def test_quick_measures_every_work_at_every_size_and_writes_nothing(monkeypatch, capsys) -> None:
    before = README.read_text()
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    monkeypatch.setattr(sys, "argv", ["growth.py", "--quick"])
    monkeypatch.setenv("VQGEN_RUNTIME", "off")
    names = runpy.run_path(str(PROGRAM), run_name="__main__")["ATTENTIONS"]
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| drawing", "| training"))]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| {work}, ms: {name}" for work in ("drawing", "training") for name in names
    ]
    assert all(float(cell) > 0 for row in rows for cell in row.split(" | ")[1:3])
    assert README.read_text() == before


def test_exponents_are_those_of_powers(program) -> None:
    sizes = (4, 8, 32)
    assert program["exponents"](sizes, [3 * size**1.5 for size in sizes]) == pytest.approx([1.5, 1.5])
    assert program["exponents"](sizes, [7, 7, 14]) == pytest.approx([0, 0.5])


def test_table_gives_time_and_memory_with_their_growth(program) -> None:
    rows = [
        {"work": "encode", "of": "VQGAN", "size": size, "median": size**2 / 100, "extra_megabytes": 2.0 * size}
        for size in (16, 64)
    ]
    table = program["table"](rows, ("encode", "decode"), " pixels").splitlines()
    assert table[0] == "| | 16 pixels | 64 pixels | exponents |"
    assert table[2:] == ["| encode, ms | 2.56 | 41 | 2.00 |", "| encode, MB | 32 | 128 | 1.00 |"]
    assert (
        program["growth_in_words"](rows, ("encode",)) == "From 16 to 64 the time grows with the exponent: encode 2.00."
    )


def test_a_token_is_drawn_on_top_of_all_others(program) -> None:
    size = program["QUICK"]
    prior = program["build_prior"](size, 4, "SegmentAttention(64, memory=64)")
    asked: list[tuple[int, int]] = []
    draw = program["drawing"].__globals__["sample_autoregressive"]

    def watched(prior, positions, *, prefix, on_step):
        asked.append((len(positions), prefix.shape[1]))
        return draw(prior, positions, prefix=prefix, on_step=on_step)

    program["drawing"].__globals__["sample_autoregressive"] = watched
    assert program["drawing"](prior, 3) > 0
    assert program["drawing"](prior, 100) > 0
    assert asked == [(16, 13), (16, 12)]  # no more than a quarter of a short sequence
