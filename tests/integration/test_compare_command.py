"""`vqgen compare` and scripts/compare_orders.py on the smoke plan, and what every plan under configs/ promises."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from vqgen.cli import main
from vqgen.compare import read_plan
from vqgen.orders import order_policy

ROOT = Path(__file__).parents[2]
PLANS = sorted((ROOT / "configs" / "compare").glob("*.yaml"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare-command")
    (folder / "configs").symlink_to(ROOT / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def written(workspace):
    """What the script wrote, and printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compare_orders.py", "configs/compare/smoke.yaml"])
        runpy.run_path(str(ROOT / "scripts" / "compare_orders.py"), run_name="__main__")
    return workspace / "runs" / "compare" / "smoke"


def test_script_plans_runs_and_reports(written):
    assert {path.name for path in written.iterdir()} >= {"report.html", "results.csv", "results.json", "plan.json"}
    found = json.loads((written / "results.json").read_text())
    assert found["runs_finished"] == found["runs_planned"] == 8
    signals = ("target + rotary", "cell")
    assert {row["order"] for row in found["table"]} == {f"{o} ({s})" for o in ("raster", "hilbert") for s in signals}
    assert found["failures"] == []


def test_plan_lists_runs_with_numbers_states_and_time(written, capsys):
    main(["compare", "plan", "configs/compare/smoke.yaml", "--set", "seeds=[0,1,2]"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 runs into runs/compare/smoke/, each of 8 steps of 8 grids"
    assert [line.split()[0] for line in lines[1:13]] == [str(index) for index in range(12)]
    assert [line.endswith("finished") for line in lines[1:13]] == [True] * 8 + [False] * 4
    assert lines[13].startswith("about ")
    assert "for the 4 that are left" in lines[13]


def test_report_of_the_folder_is_that_of_the_plan(written, capsys):
    before = (written / "report.html").read_text()
    main(["compare", "report", str(written)])
    assert capsys.readouterr().out == f"wrote {written / 'report.html'}\n"
    assert (written / "report.html").read_text() == before


def test_a_failed_index_ends_with_status_1(written, capsys):
    options = ["--set", "orders=[raster, taming:nonsense]", "--set", "folder=runs/failing"]
    with pytest.raises(SystemExit) as stop:
        main(["compare", "run", "configs/compare/smoke.yaml", *options, "--index", "1"])
    assert stop.value.code == 1
    assert "unknown order 'taming:nonsense'" in capsys.readouterr().out
    main(["compare", "run", "configs/compare/smoke.yaml", *options, "--index", "0"])
    assert "1 of 8 runs are finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "configs/compare/nothing.yaml"], "found no configs/compare/nothing.yaml"),
        (["run", "configs/compare/smoke.yaml", "--index", "9"], "the plan has runs 0 to 7, got index 9"),
        (["run", "configs/compare/smoke.yaml", "--index", "0", "--jobs", "2"], "leave one of them out"),
        (["run", "configs/compare/smoke.yaml", "--set", "budget.tokens=9"], "exactly one of"),
        (["report", "configs"], "run the plan first"),
    ],
)
def test_what_makes_no_sense_is_refused_with_status_2(workspace, capsys, arguments, expected):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_is_read_and_its_orders_and_tokenizer_config_are_known(workspace, path):
    plan = read_plan(path)
    assert (ROOT / plan.tokenizer.config).is_file()
    for order in plan.orders:
        order_policy(order, height=8, width=8)
    if path.stem != "smoke":
        assert len(plan.orders) >= 8
        assert len(plan.seeds) >= 3
