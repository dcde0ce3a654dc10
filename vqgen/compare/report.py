"""The report of a plan: one HTML file that needs nothing else, with its figures beside it as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vqgen.compare.analysis import Analysis, analyse
from vqgen.compare.labels import contender_label, folder_name
from vqgen.compare.page import render_page
from vqgen.compare.published import PUBLISHED, Agreement, PublishedRanking, agreement
from vqgen.compare.result import RunFailure, RunResult, read_failure, read_result, write_json, write_text
from vqgen.compare.summary import summarise
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
        ModuleNotFoundError: if the extra `compare` is not installed.
        ValueError: if no run is finished.
    """
    folder = Path(folder)
    plan = read_plan_facts(folder)
    results, failures = read_runs(folder, plan)
    analysis = analyse(results, reference=reference_of(plan))
    planned = len(plan["orders"]) * len(plan["signals"]) * len(plan["seeds"])
    agreements = agreements_with(PUBLISHED, analysis)
    summary = summarise(analysis, agreements, failures=len(failures), missing=planned - len(results))
    samples = {each.label: _samples(folder, results, each.label) for each in analysis.contenders}
    page = render_page(
        analysis,
        plan=plan,
        summary=summary,
        agreements=agreements,
        failures=failures,
        environment=results[0].environment,
        conditions=results[0].conditions,
        samples=samples,
    )
    rows = main_table(analysis)
    write_text(folder / CSV_FILE, as_csv(rows))
    write_json(
        folder / JSON_FILE, _everything(as_tree(analysis), plan, planned, summary, agreements, failures, results)
    )
    return write_text(folder / REPORT_FILE, page)


def read_plan_facts(folder: Path) -> dict[str, Any]:
    """The plan as it was run, in plain values."""
    path = folder / PLAN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"found no {path}; run the plan first: vqgen compare run PLAN")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def read_runs(folder: Path, plan: Mapping[str, Any]) -> tuple[list[RunResult], list[RunFailure]]:
    """The results and failures of the plan's runs; what an earlier plan left in the folder is passed over.

    Args:
        folder: of the results.
        plan: its facts.

    Returns:
        Both, seed after seed.
    """
    several = len(plan["signals"]) > 1
    names = [
        f"{folder_name(contender_label(order, signals if several else ()))}-seed{seed}"
        for seed in plan["seeds"]
        for signals in plan["signals"]
        for order in plan["orders"]
    ]
    folders = [folder / "runs" / name for name in names]
    results = [found for each in folders if (found := read_result(each)) is not None]
    failures = [failed for each in folders if (failed := read_failure(each)) is not None]
    return results, failures


def agreements_with(studies: Sequence[PublishedRanking], analysis: Analysis) -> list[Agreement]:
    """Published rankings beside ours, in the same quantity where we have it, for the reference's signals.

    Args:
        studies: what others published.
        analysis: what was found here.

    Returns:
        One for each study that shares orders with ours.
    """
    signals = next((each.signals for each in analysis.contenders if each.label == analysis.reference), None)
    alike = [each for each in analysis.contenders if signals in (None, each.signals)]
    losses = {each.order: each.nll.mean for each in alike}
    fids = {each.order: each.quality[name].mean for each in alike for name in each.quality if name.startswith("fid_")}
    found = [
        agreement(study, fids, "fid") if study.quantity == "fid" and fids else agreement(study, losses)
        for study in studies
    ]
    return [each for each in found if each is not None]


def reference_of(plan: Mapping[str, Any]) -> str:
    """The label of the contender that others are compared with."""
    return contender_label(plan["reference"], plan["signals"][0] if len(plan["signals"]) > 1 else ())


def _samples(folder: Path, results: Sequence[RunResult], label: str) -> bytes:
    """The picture of the first seed's samples."""
    seed = min(result.seed for result in results if result.contender == label)
    path = folder / "runs" / f"{folder_name(label)}-seed{seed}" / "samples.png"
    return path.read_bytes() if path.is_file() else b""


def _everything(
    tree: dict[str, Any],
    plan: Mapping[str, Any],
    planned: int,
    summary: Sequence[str],
    agreements: Sequence[Agreement],
    failures: Sequence[RunFailure],
    results: Sequence[RunResult],
) -> dict[str, Any]:
    left_out = ("image_nats", "identity", "conditions", "positions")
    runs = [{name: value for name, value in asdict(each).items() if name not in left_out} for each in results]
    return {
        "plan": plan,
        "runs_planned": planned,
        "runs_finished": len(results),
        "summary": list(summary),
        **tree,
        "published": [asdict(each) for each in agreements],
        "failures": [asdict(each) for each in failures],
        "conditions": results[0].conditions,
        "runs": runs,
    }
