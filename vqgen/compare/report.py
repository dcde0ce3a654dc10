"""The report of a plan: one HTML file that needs nothing else, with its figures beside it as CSV and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vqgen.compare.analysis import analyse
from vqgen.compare.labels import contender_label
from vqgen.compare.result import RunFailure, RunResult, read_failure, read_result, write_json, write_text
from vqgen.compare.tables import as_csv, as_tree, main_table

PLAN_FILE, REPORT_FILE, CSV_FILE, JSON_FILE = "plan.json", "report.html", "results.csv", "results.json"


def write_report(folder: str | Path) -> Path:
    """Write `report.html`, `results.csv` and `results.json` of the runs in a folder that are finished.

    Args:
        folder: of a plan's results.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: if nothing has run in the folder.
        ValueError: if no run is finished.
    """
    folder = Path(folder)
    plan = read_plan_facts(folder)
    results, failures = read_runs(folder)
    analysis = analyse(results, reference=reference_of(plan))
    runs_planned = len(plan["orders"]) * len(plan["signals"]) * len(plan["seeds"])
    write_text(folder / CSV_FILE, as_csv(main_table(analysis)))
    write_json(
        folder / JSON_FILE,
        {
            **as_tree(analysis),
            "plan": plan,
            "runs_planned": runs_planned,
            "failures": [asdict(each) for each in failures],
        },
    )
    return folder / REPORT_FILE


def read_plan_facts(folder: Path) -> dict[str, Any]:
    """The plan as it was run, in plain values."""
    path = folder / PLAN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"found no {path}; run the plan first: vqgen compare run PLAN")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def read_runs(folder: Path) -> tuple[list[RunResult], list[RunFailure]]:
    """All results and failures below a folder, in the order of their folders' names."""
    folders = sorted(path for path in (folder / "runs").glob("*") if path.is_dir())
    results = [found for each in folders if (found := read_result(each)) is not None]
    failures = [failed for each in folders if (failed := read_failure(each)) is not None]
    return results, failures


def reference_of(plan: dict[str, Any]) -> str:
    """The label of the contender that others are compared with."""
    return contender_label(plan["reference"], plan["signals"][0] if len(plan["signals"]) > 1 else ())
