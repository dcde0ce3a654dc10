"""The report's page: which figures stand in which table, and the template filled in."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqgen.compare import figures
from vqgen.compare.analysis import Analysis, Contender
from vqgen.compare.published import Agreement
from vqgen.compare.result import RunFailure
from vqgen.compare.summary import STATISTIC_WORDS
from vqgen.compare.tables import main_table
from vqgen.data.openmoji_table import ATTRIBUTION
from vqgen.orders import ORDERS, definition

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Column:
    """A column of the main table.

    Attributes:
        name: key in the rows of `main_table`.
        title: heading.
        show: a row's figure as text.
        text: whether it is aligned as text.
    """

    name: str
    title: str
    show: Callable[[Mapping[str, Any]], str]
    text: bool = False


def render_page(
    analysis: Analysis,
    *,
    plan: Mapping[str, Any],
    summary: Sequence[str],
    agreements: Sequence[Agreement],
    failures: Sequence[RunFailure],
    environment: Mapping[str, Any],
    conditions: Mapping[str, Any],
    samples: Mapping[str, bytes],
) -> str:
    """Fill in the page.

    Args:
        analysis: from `analyse`.
        plan: in plain values.
        summary: sentences.
        agreements: with published rankings.
        failures: runs that failed.
        environment: versions, processor, threads.
        conditions: what FID and KID refer to.
        samples: PNG of each contender's samples, empty for none.

    Returns:
        HTML.

    Raises:
        ModuleNotFoundError: if jinja2 is not installed.
    """
    table = main_table(analysis)
    compared = [each for each in analysis.contenders if each.across_seeds is not None]
    first = analysis.correlations[0].statistic if analysis.correlations else ""
    shown = {
        "loss": figures.loss_figure(analysis),
        "difference": figures.difference_figure(analysis) if compared else "",
        "step": figures.step_figure(analysis),
        "cumulative": figures.cumulative_figure(analysis),
        "curve": figures.curve_figure(analysis),
        "locality": figures.locality_figure(analysis, first, STATISTIC_WORDS.get(first, first)) if first else "",
    }
    return _template().render(
        plan=plan,
        facts=facts(analysis, plan),
        summary=summary,
        figures=shown,
        columns=columns(table),
        table=table,
        reference=analysis.reference,
        compared=len(compared),
        marked={each.label: _significant(each) for each in analysis.contenders},
        correlations=analysis.correlations,
        words=STATISTIC_WORDS,
        agreements=agreements,
        panels=[_panel(analysis, each, samples.get(each.label, b"")) for each in analysis.contenders],
        failures=failures,
        measured=measured(plan, environment, conditions),
    )


def columns(table: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that this table has figures for.

    Args:
        table: from `main_table`.

    Returns:
        The columns, from left to right.
    """
    seeds = any(row["p_seeds"] is not None for row in table)
    quality = [name for name in table[0] if name.startswith(("fid_", "kid_")) and not name.endswith("_deviation")]
    chosen = [
        Column("order", "Order", lambda row: str(row["order"]), text=True),
        Column("rank", "Rank", lambda row: str(row["rank"])),
        Column("nll", "Nats per code", lambda row: f"{row['nll']:.4f}{_half(row, 'nll')}"),
    ]
    if seeds:
        chosen += [
            Column("difference", "Difference", lambda row: _signed(row["difference"]) + _half(row, "difference")),
            Column("p_seeds_holm", "p over seeds", lambda row: _p(row["p_seeds_holm"])),
            Column("p_images_holm", "p over images", lambda row: _p(row["p_images_holm"])),
        ]
    chosen += [_quality_column(name) for name in quality]
    chosen += [
        Column("half_spent", "Half spent", lambda row: f"{row['half_spent']:.0%}"),
        Column("mean_step", "Mean step", lambda row: _number(row["mean_step"], 2)),
        Column("mean_nearest_known", "Nearest known", lambda row: _number(row["mean_nearest_known"], 2)),
        Column("training_steps_per_second", "Steps/s", lambda row: _number(row["training_steps_per_second"], 2)),
        Column("images_per_second", "Images/s", lambda row: _number(row["images_per_second"], 1)),
    ]
    return chosen


def facts(analysis: Analysis, plan: Mapping[str, Any]) -> str:
    """What was compared, in a line."""
    budget = plan["budget"]
    unit = next(name for name, value in budget.items() if value is not None)
    source = plan["source"]
    name = source["arguments"].get("name") or source["class"].removeprefix("vqgen.")
    seeds = len(plan["seeds"])
    return (
        f"{len(analysis.contenders)} contenders, {seeds} seed{'s' * (seeds > 1)}, on codes of {name} in grids of "
        f"{analysis.height} x {analysis.width}; budget of each run: {budget[unit]:,} {unit}. Loss is the exact "
        "negative log-likelihood of held-out codes."
    )


def measured(
    plan: Mapping[str, Any], environment: Mapping[str, Any], conditions: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """What a reader needs to judge or repeat the comparison, as names and values."""
    listed = [
        ("Images", f"{plan['source']['class']}({_pairs(plan['source']['arguments'])})"),
        ("Licence of the images", ATTRIBUTION if plan["source"]["class"].endswith("OpenMoji") else ""),
        ("Tokenizer", plan["tokenizer"]["folder"]),
        ("Views of each training image", str(plan["views"])),
        ("Prior", _pairs(plan["prior"])),
        ("Signals", "; ".join(" + ".join(signals) for signals in plan["signals"])),
        ("Budget", f"{_pairs(plan['budget'])}, batch size {plan['batch_size']}"),
        ("Optimization", _pairs(plan["optimization"])),
        ("Precision", plan["precision"]),
        ("Seeds", ", ".join(map(str, plan["seeds"]))),
        ("Validation images", str(plan["validation_images"] or "all")),
        ("Sampling", _pairs(plan["quality"])),
        ("FID and KID", _pairs(conditions.get("reference", {})) or "none"),
        ("Environment", _pairs(environment)),
    ]
    return [(name, value) for name, value in listed if value]


def _panel(analysis: Analysis, each: Contender, samples: bytes) -> dict[str, str]:
    reference = next((other for other in analysis.contenders if other.label == analysis.reference), None)
    limits = figures.cell_limits(analysis.contenders)
    known = "" if each.order not in ORDERS else definition(each.order) + " "
    return {
        "label": each.label,
        "words": f"{known}{each.nll.mean:.4f} nats per code, half of them spent at {each.half_spent:.0%} of the steps.",
        "picture": figures.order_picture(each, analysis.height, analysis.width),
        "cells": figures.cell_figure(each, analysis.height, analysis.width, limits),
        "steps": figures.contender_step_figure(each, reference),
        "samples": figures.as_photograph(samples) if samples else "",
    }


def _significant(each: Contender) -> tuple[str, ...]:
    tests = {"p_seeds_holm": each.across_seeds, "p_images_holm": each.across_images}
    return tuple(name for name, test in tests.items() if test is not None and test.significant)


def _quality_column(name: str) -> Column:
    kind, _, network = name.partition("_")
    digits = 2 if kind == "fid" else 4
    return Column(name, f"{kind.upper()} ({network})", lambda row: _number(row[name], digits))


def _half(row: Mapping[str, Any], name: str) -> str:
    high = row[f"{name}_high"]
    return "" if high is None or high != high else f" ± {high - row[name]:.4f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _p(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _pairs(values: Mapping[str, Any]) -> str:
    """Names and values in a line, those that are None left out, nested ones flattened."""
    told = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            told.append(f"{name} ({_pairs(value)})")
        elif value is not None:
            told.append(f"{name} {value}")
    return ", ".join(told)


def _template() -> Any:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "the report needs the package jinja2, which is not installed; run `pip install 'vqgen[compare]'`"
        ) from None
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
