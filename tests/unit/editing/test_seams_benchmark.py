"""benchmarks/seams.py at toy size: its table, and that it writes nothing."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "seams.py"
RESULTS = PROGRAM.parent / "results" / "seams.json"
README = PROGRAM.parents[1] / "vqgen" / "editing" / "README.md"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


def test_quick_prints_every_way_of_every_order_and_writes_nothing(monkeypatch, capsys):
    before, results = README.read_text(encoding="utf-8"), RESULTS.read_bytes() if RESULTS.exists() else None
    monkeypatch.setattr(sys, "argv", ["seams.py", "--quick"])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == ["| `raster`"] * 3 + ["| `hilbert`"] * 3
    assert {row[1] for row in rows} == {"windows", "one cell at a time (taming)", "unconnected tiles"}
    assert [int(row[2]) for row in rows] == [24, 64, 4, 16, 64, 4]
    assert README.read_text(encoding="utf-8") == before
    assert (RESULTS.read_bytes() if RESULTS.exists() else None) == results


def test_the_interval_is_of_the_mean():
    interval = runpy.run_path(str(PROGRAM))["interval"]
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mean, half = interval(values)
    assert mean == pytest.approx(2.5)
    assert half == pytest.approx(1.96 * 1.2909944 / 2)


def test_the_room_s_readme_has_a_place_for_the_table():
    text = README.read_text(encoding="utf-8")
    assert text.index("<!-- seams: begin -->") < text.index("<!-- seams: end -->")


def test_neither_a_folder_nor_quick_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["seams.py"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert "give a folder, or --quick" in capsys.readouterr().err
