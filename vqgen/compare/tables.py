"""The figures of an analysis as plain rows: what the report shows, and what stands beside it as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vqgen.compare.analysis import Analysis, Contender

LOCALITY = ("mean_step", "unit_step_fraction", "mean_nearest_known", "isolated_fraction")
"""The locality statistics that the table shows; JSON has all of them."""


def main_row(rank: int, contender: Contender) -> dict[str, Any]:
    """One line of the main table.

    Args:
        rank: from 1.
        contender: the order.

    Returns:
        Column to value; None where there is none.
    """
    seeds, images = contender.across_seeds, contender.across_images
    return {
        "rank": rank,
        "order": contender.label,
        "seeds": contender.nll.count,
        "nll": contender.nll.mean,
        "nll_low": contender.nll.low,
        "nll_high": contender.nll.high,
        "difference": None if seeds is None else seeds.difference.mean,
        "difference_low": None if seeds is None else seeds.difference.low,
        "difference_high": None if seeds is None else seeds.difference.high,
        "p_seeds": None if seeds is None else seeds.p,
        "p_seeds_holm": None if seeds is None else seeds.corrected_p,
        "p_images": None if images is None else images.p,
        "p_images_holm": None if images is None else images.corrected_p,
        "half_spent": contender.half_spent,
        **{name: value.mean for name, value in contender.quality.items()},
        **{f"{name}_deviation": value.deviation for name, value in contender.quality.items()},
        "training_steps_per_second": contender.steps_per_second,
        "images_per_second": contender.images_per_second,
        **{name: None if contender.locality is None else contender.locality[name] for name in LOCALITY},
    }


def main_table(analysis: Analysis) -> list[dict[str, Any]]:
    """A row for every contender, the best first."""
    return [main_row(rank, each) for rank, each in enumerate(analysis.contenders, 1)]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as comma-separated text, missing figures empty.

    Example:
        >>> as_csv([{"order": "raster", "nll": 3.0}, {"order": "hilbert, step", "nll": None}]).splitlines()
        ['order,nll', 'raster,3.0', '"hilbert, step",']
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _plain(value) for name, value in row.items()} for row in rows])
    return text.getvalue()


def as_tree(analysis: Analysis) -> dict[str, Any]:
    """Everything in the analysis in JSON-able values: the table, and each contender in full.

    Args:
        analysis: from `analyse`.

    Returns:
        `table`, `contenders`, `correlations`, `reference` and the grid.
    """
    return {
        "reference": analysis.reference,
        "grid": [analysis.height, analysis.width],
        "table": main_table(analysis),
        "contenders": [asdict(each) for each in analysis.contenders],
        "correlations": [asdict(each) for each in analysis.correlations],
    }


def _plain(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and value != value) else value
