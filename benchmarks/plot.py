"""One picture of the benchmarks with peers: vqgen, the others, and what the machine would allow.

    python benchmarks/plot.py                       # docs/images/benchmarks.png, from results/
    python benchmarks/plot.py --out elsewhere.png

Bars are medians, thin lines the range of the repeats, marks the limit where a program knows one. What has not been
measured is left out.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from readings import Reading, read
from recording import RESULTS, ROOT

from vqgen.compare.figures import ACCENT, INK, PALE, STYLE

PROGRAMS = ("sampling", "tokenizer", "training")
FURTHEST = 1.75
"""Where the scale ends, in times the largest bar."""
COLUMNS = (
    ("drawing, batch 1", "drawing, batch 8"),
    ("encode, batch 1, freed memory kept", "decode, batch 1, freed memory kept", "training, fp32", "training, bf16"),
)


def collect(folder: Path) -> list[Reading]:
    """Readings of the programs' results on a CPU, of those that are there."""
    paths = [path for name in PROGRAMS if (path := folder / f"{name}.json").exists()]
    return [reading for path in paths for reading in read(path.stem, json.loads(path.read_text()))]


def draw_panel(axes: Axes, readings: Sequence[Reading]) -> None:
    """A bar for each contestant of one comparison, the first at the top; limits too far off are told in numbers."""
    reach = FURTHEST * max(max(each.rates) for each in readings)
    for row, each in enumerate(readings):
        beyond = each.limit is not None and each.limit > 0.98 * reach
        axes.barh(row, each.rate, height=0.66, color=ACCENT if each.ours else PALE)
        axes.plot([min(each.rates), max(each.rates)], [row, row], color=INK, linewidth=1)
        if each.limit is not None and not beyond:
            axes.plot([each.limit, each.limit], [row - 0.4, row + 0.4], color=INK, linewidth=2, solid_capstyle="butt")
        axes.annotate(
            _number(each.rate) + (f"   limit {_number(each.limit)}" if each.limit is not None and beyond else ""),
            (max(each.rates), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.set_yticks(range(len(readings)), [each.contestant for each in readings])
    axes.set_ylim(len(readings) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, reach)
    axes.set_title(f"{readings[0].what}: {readings[0].unit}", loc="left", fontsize=9)


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def draw(readings: Sequence[Reading]) -> Figure:
    """The picture.

    Args:
        readings: of any comparisons; those of COLUMNS are drawn.

    Raises:
        ValueError: when none of them is.
    """
    columns = [
        [group for what in whats if (group := [each for each in readings if each.what == what])] for whats in COLUMNS
    ]
    columns = [column for column in columns if column]
    if not columns:
        raise ValueError(f"expected results of {', '.join(PROGRAMS)}, got none to draw; run the benchmarks first")
    heights = [[len(group) + 2.2 for group in column] for column in columns]  # a title and numbers take two bars' room
    figure = Figure(figsize=(5.4 * len(columns), 0.21 * max(map(sum, heights)) + 0.4), layout="constrained")
    for part, column, ratios in zip(
        figure.subfigures(1, len(columns), squeeze=False)[0], columns, heights, strict=True
    ):
        panels = part.subplots(len(column), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
        for axes, group in zip(panels, column, strict=True):
            draw_panel(axes, group)
    marks = [
        Patch(color=ACCENT, label="vqgen"),
        Patch(color=PALE, label="peers"),
        Line2D([], [], color=INK, linewidth=1, label="range of the repeats"),
        Line2D([], [], color=INK, marker="|", markersize=9, markeredgewidth=2, linestyle="", label="limit"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "benchmarks.png")
    options = parser.parse_args()
    with rc_context(STYLE):
        half = options.out.with_name(f".half-{options.out.name}")
        draw(collect(RESULTS)).savefig(half, dpi=130, metadata={"Software": None} if half.suffix == ".png" else None)
    half.replace(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
