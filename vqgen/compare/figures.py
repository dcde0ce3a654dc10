"""The report's figures, as SVG that stands in the page by itself."""

from __future__ import annotations

import base64
import io
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vqgen.compare.analysis import Analysis, Contender
from vqgen.orders import ScanOrder, draw_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0  # inches: letters stay readable when a phone shrinks it
STYLE: Any = {
    "svg.fonttype": "none",  # letters as text, which is smaller and can be searched
    "svg.hashsalt": "vqgen",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e8",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
INK, ACCENT, PALE = "#22223b", "#a3246d", "#9a9ab0"


def loss_figure(analysis: Analysis) -> str:
    """Validation loss of every contender: a dot per seed, mean and 95% interval."""
    contenders = list(reversed(analysis.contenders))

    def draw(axes: Axes) -> None:
        for row, each in enumerate(contenders):
            colour = INK if each.label == analysis.reference else ACCENT
            axes.plot(list(each.nll_by_seed.values()), [row] * len(each.nll_by_seed), ".", color=PALE, markersize=7)
            if each.nll.count > 1:
                axes.plot([each.nll.low, each.nll.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(each.nll.mean, row, "o", color=colour, markersize=5)
        _name_rows(axes, [each.label for each in contenders])
        axes.set_xlabel("validation nats per code (less is better)")
        # Intervals of three seeds may be wide; the means decide what is seen, and an interval may leave the picture.
        values = [value for each in contenders for value in each.nll_by_seed.values()]
        margin = 0.35 * (max(values) - min(values)) or 0.1
        axes.set_xlim(min(values) - margin, max(values) + margin)

    return _svg(draw, height=0.26 * len(contenders) + 0.8)


def difference_figure(analysis: Analysis) -> str:
    """Difference from the reference, paired by seed, with the 95% interval before correction."""
    shown = [each for each in reversed(analysis.contenders) if each.across_seeds is not None]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=1)
        means = []
        for row, each in enumerate(shown):
            assert each.across_seeds is not None
            found = each.across_seeds.difference
            colour = ACCENT if each.across_seeds.significant else PALE
            means.append(found.mean)
            if found.count > 1:
                axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(found.mean, row, "o", color=colour, markersize=5)
        _name_rows(axes, [each.label for each in shown])
        reach = 1.6 * max((abs(mean) for mean in means), default=1.0) or 1.0
        axes.set_xlim(min(-0.3 * reach, min(means, default=0.0) * 1.6), max(0.3 * reach, max(means, default=0.0) * 1.6))
        axes.set_xlabel(f"nats per code more than {analysis.reference}")

    return _svg(draw, height=0.26 * len(shown) + 0.8)


def curve_figure(analysis: Analysis) -> str:
    """Validation loss along the training, mean over seeds."""

    def draw(axes: Axes) -> None:
        for each, style in _styles(analysis):
            axes.plot(list(each.curve), list(each.curve.values()), marker=".", label=each.label, **style)
        axes.set_xlabel("training step")
        axes.set_ylabel("validation nats per code")
        _legend_below(axes)

    return _svg(draw, height=3.0 + 0.17 * -(-len(analysis.contenders) // 3))


def step_figure(analysis: Analysis) -> str:
    """Loss at each step of the sequence, as running means over an eighth of it."""
    window = max(1, analysis.height * analysis.width // 8)

    def draw(axes: Axes) -> None:
        for each, style in _styles(analysis):
            axes.plot(*_running_mean(each.step_nats, window), label=each.label, **style)
        axes.set_xlabel(f"step in the sequence (running mean over {window})")
        axes.set_ylabel("nats per code")
        _legend_below(axes)

    return _svg(draw, height=3.0 + 0.17 * -(-len(analysis.contenders) // 3))


def cumulative_figure(analysis: Analysis) -> str:
    """Nats spent up to each step, more or less than the best contender has spent at the same step."""
    best = list(itertools.accumulate(analysis.contenders[0].step_nats))

    def draw(axes: Axes) -> None:
        for each, style in _styles(analysis):
            spent = itertools.accumulate(each.step_nats)
            more = [ours - theirs for ours, theirs in zip(spent, best, strict=True)]
            axes.plot(range(1, len(more) + 1), more, label=each.label, **style)
        axes.set_xlabel("step in the sequence")
        axes.set_ylabel(f"nats an image more than {analysis.contenders[0].label}")
        _legend_below(axes)

    return _svg(draw, height=3.0 + 0.17 * -(-len(analysis.contenders) // 3))


def locality_figure(analysis: Analysis, statistic: str, words: str) -> str:
    """A locality statistic against the loss, a labelled dot for each order."""
    known = [each for each in analysis.contenders if each.locality is not None]

    def draw(axes: Axes) -> None:
        for each in known:
            place = ((each.locality or {})[statistic], each.nll.mean)
            axes.plot(*place, "o", color=ACCENT, markersize=5)
            axes.annotate(each.label, place, xytext=(4, 3), textcoords="offset points", fontsize=8, color=INK)
        axes.margins(x=0.18)
        axes.set_xlabel(words)
        axes.set_ylabel("validation nats per code")

    return _svg(draw, height=3.2)


def order_picture(contender: Contender, height: int, width: int) -> str:
    """The order itself; empty where every sample has its own."""
    if contender.positions is None:
        return ""
    order = ScanOrder(contender.label, height, width, torch.tensor(contender.positions))
    with tempfile.TemporaryDirectory() as folder:
        path = draw_order(order, Path(folder) / "order.png", inches=2.6, dots_per_inch=160)
        return as_photograph(path.read_bytes())


def as_photograph(picture: bytes) -> str:
    """A picture's file as an address that holds it, recoded to a fraction of PNG's size.

    Args:
        picture: a file that Pillow reads.

    Returns:
        `data:image/webp;base64,...`.
    """
    from PIL import Image

    content = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(content, format="webp", quality=75, method=6)
    return as_data_uri(content.getvalue(), "image/webp")


def contender_step_figure(contender: Contender, reference: Contender | None) -> str:
    """Loss at each step, before that of the reference."""

    def draw(axes: Axes) -> None:
        if reference is not None and reference.label != contender.label:
            axes.plot(
                range(1, len(reference.step_nats) + 1), reference.step_nats, color="#c5c5d2", label=reference.label
            )
        axes.plot(range(1, len(contender.step_nats) + 1), contender.step_nats, color=ACCENT, label=contender.label)
        axes.set_xlabel("step")
        axes.set_ylabel("nats")
        axes.legend(loc="best")

    return _svg(draw, height=1.8, width=4.6)


def cell_figure(contender: Contender, height: int, width: int, limits: tuple[float, float]) -> str:
    """Loss of each cell of the grid, on the colour scale of all contenders."""

    def draw(axes: Axes) -> None:
        grid = [contender.cell_nats[row * width : (row + 1) * width] for row in range(height)]
        image = axes.imshow(grid, cmap="magma_r", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        figure: Any = axes.figure
        figure.colorbar(image, ax=axes, orientation="horizontal", pad=0.06, fraction=0.06)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)

    return _svg(draw, height=2.2, width=2.3)


def cell_limits(contenders: Sequence[Contender]) -> tuple[float, float]:
    """One colour scale for the maps of all contenders, without the dearest 2% of cells, the first ones of an order."""
    values = sorted(value for each in contenders for value in each.cell_nats)
    return values[0], values[min(len(values) - 1, int(0.98 * len(values)))]


def as_data_uri(content: bytes, kind: str) -> str:
    """A file as an address that holds it.

    Example:
        >>> as_data_uri(b"hi", "text/plain")
        'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _styles(analysis: Analysis) -> list[tuple[Contender, Mapping[str, Any]]]:
    """A colour and a dash for each, so that lines are told apart in print too; the reference is dark and bold."""
    colours = ("#a3246d", "#e4572e", "#f6a924", "#3b8ea5", "#3b1c71", "#5fa05a")
    dashes = ("-", "--", "-.", ":")
    styled: list[tuple[Contender, Mapping[str, Any]]] = []
    others = 0
    for each in analysis.contenders:
        if each.label == analysis.reference:
            styled.append((each, {"color": INK, "linewidth": 2.0}))
            continue
        style = {"color": colours[others % len(colours)], "linestyle": dashes[others // len(colours) % len(dashes)]}
        styled.append((each, {**style, "linewidth": 1.4}))
        others += 1
    return styled


def _running_mean(values: Sequence[float], window: int) -> tuple[list[float], list[float]]:
    sums = [0.0, *itertools.accumulate(values)]
    places = range(len(values) - window + 1)
    return [at + (window + 1) / 2 for at in places], [(sums[at + window] - sums[at]) / window for at in places]


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.grid(visible=False, axis="y")


def _legend_below(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=3, handlelength=2.2, columnspacing=1.0)


def _svg(draw: Any, *, height: float, width: float = WIDTH) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure: Figure = Figure(figsize=(width, height))
        draw(figure.add_subplot())
        content = io.BytesIO()
        figure.savefig(content, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    return as_data_uri(content.getvalue(), "image/svg+xml")
