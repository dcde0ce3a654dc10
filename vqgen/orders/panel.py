"""How an order looks: tiles and path coloured by step. Imports matplotlib; reached through plot."""

import math
import textwrap
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vqgen.orders.scan_order import ScanOrder

# Pale to deep, so that early and late are told apart in grey and by colour-blind eyes as well.
STEP_COLOURS: Colormap = LinearSegmentedColormap.from_list("steps", ["#f6a924", "#e4572e", "#a3246d", "#3b1c71"])
_TILE_COLOURS: Colormap = LinearSegmentedColormap.from_list(
    "tiles", ["#fff0c2", "#fbc45c", "#ee7f45", "#d0547b", "#8b4a94", "#4b3a86"]
)
_INK = "#22223b"


def single_figure(order: ScanOrder, *, inches: float) -> Figure:
    """Draw one order with its name and, while there is room, the number of each step.

    Args:
        order: the order.
        inches: longer side of the grid in the figure.

    Returns:
        The figure.

    Example:
        >>> from vqgen.orders import scan_order
        >>> len(single_figure(scan_order("raster", height=2, width=2), inches=2.0).axes)
        1
    """
    title, margin = 0.09 * inches, 0.02 * inches
    panel = _panel_size(order, inches - 2 * margin)
    figure = Figure(figsize=(max(panel[0], inches / 2) + 2 * margin, panel[1] + title + margin))
    axes = _add_panel(figure, ((figure.get_figwidth() - panel[0]) / 2, margin), panel)
    numbers = order.height * order.width <= 100
    draw_panel(axes, order, cell_points=_cell_points(panel, order), numbers=numbers)
    axes.set_title(f"{order.name}, {order.height} x {order.width}", fontsize=3 * inches, color=_INK, pad=1.4 * inches)
    return figure


def sheet_figure(orders: list[ScanOrder], refusing: list[str], *, columns: int) -> Figure:
    """Draw orders side by side, with a legend below.

    Args:
        orders: what to draw, all on one grid, at least one.
        refusing: names of orders that do not take this grid, for the foot line.
        columns: panels side by side, >= 1.

    Returns:
        The figure.

    Example:
        >>> from vqgen.orders import scan_order
        >>> len(sheet_figure([scan_order("raster", height=2, width=2)] * 3, [], columns=2).axes)
        4
    """
    title, gap, line = 0.28, 0.14, 0.17
    panel = _panel_size(orders[0], 1.6)
    rows, columns = math.ceil(len(orders) / columns), min(columns, len(orders))
    wide = max(columns * (panel[0] + gap) + gap, 4.2)  # the legend needs so much
    refusal = f"not defined on this grid: {', '.join(refusing)}" if refusing else ""
    lines = textwrap.wrap(refusal, int(wide / 0.075))
    foot = 0.36 + line * len(lines)
    figure = Figure(figsize=(wide, rows * (panel[1] + title + gap) + foot))
    for index, order in enumerate(orders):
        row, col = divmod(index, columns)
        corner = (gap + col * (panel[0] + gap), foot + gap + (rows - 1 - row) * (panel[1] + title + gap))
        axes = _add_panel(figure, corner, panel)
        draw_panel(axes, order, cell_points=_cell_points(panel, order), numbers=False)
        axes.set_title(order.name, fontsize=10, color=_INK, pad=5)
    legend = _add_panel(figure, (gap + 0.4, foot - 0.24), (1.8, 0.12))
    legend.imshow(np.linspace(0, 1, 256)[None, :], cmap=STEP_COLOURS, aspect="auto", extent=(0, 1, 0, 1))
    legend.axis("off")
    style: dict[str, Any] = {"fontsize": 9, "color": _INK}
    legend.text(-0.04, 0.5, "first", ha="right", va="center", **style)
    legend.text(1.04, 0.5, f"last      {orders[0].height} x {orders[0].width} cells", va="center", **style)
    figure.text(gap / wide, 0.08 / figure.get_figheight(), "\n".join(lines), va="bottom", **style)
    return figure


def thumbnail_figure(order: ScanOrder, *, inches: float) -> Figure:
    """Draw one order and nothing else.

    Args:
        order: the order.
        inches: longer side of the grid in the figure.

    Returns:
        The figure.

    Example:
        >>> from vqgen.orders import scan_order
        >>> len(thumbnail_figure(scan_order("raster", height=2, width=2), inches=1.0).axes)
        1
    """
    panel = _panel_size(order, inches)
    figure = Figure(figsize=panel)
    draw_panel(_add_panel(figure, (0.0, 0.0), panel), order, cell_points=_cell_points(panel, order), numbers=False)
    return figure


def draw_panel(axes: Axes, order: ScanOrder, *, cell_points: float, numbers: bool) -> None:
    """Draw an order on axes: a path where most steps go to a neighbour, otherwise bold tiles and the first jumps.

    Args:
        axes: where to draw.
        order: the order.
        cell_points: side of a cell in points (1/72 inch), to which lines and letters are fitted.
        numbers: whether to write each cell's step into it.

    Example:
        >>> from vqgen.orders import scan_order
        >>> draw_panel(Figure().add_subplot(), scan_order("snake", height=3, width=3), cell_points=20.0, numbers=True)
    """
    steps = order.steps.reshape(order.height, order.width).numpy()
    positions = order.positions.numpy()
    points = np.stack((positions % order.width, positions // order.width), axis=1).astype(float)  # n 2, as x y
    near = np.abs(np.diff(points, axis=0)).max(axis=1, initial=0) <= 1
    scattered = len(near) > 0 and near.mean() < 0.5
    if scattered:
        tint = _TILE_COLOURS(steps / max(steps.size - 1, 1))
    else:
        tint = STEP_COLOURS(steps / max(steps.size - 1, 1))
        tint[..., :3] = 1 - 0.42 * (1 - tint[..., :3])  # pale tiles beneath a full-coloured path
    edges = np.arange(order.width + 1) - 0.5, np.arange(order.height + 1) - 0.5
    axes.pcolormesh(*edges, tint, edgecolors="white", linewidth=max(cell_points * 0.05, 0.3))
    if scattered:
        _draw_first_jumps(axes, points[:9], cell_points)
    else:
        _draw_path(axes, points, near, cell_points)
    _draw_ends(axes, points, cell_points)
    if numbers:
        size = min(cell_points * 0.22, 10)
        for (row, col), step in np.ndenumerate(steps):
            dark = tint[row, col, :3].mean() < 0.53
            ink = "white" if dark else _INK
            axes.text(col - 0.44, row - 0.45, str(step), ha="left", va="top", color=ink, fontsize=size, zorder=6)
    axes.set(xlim=(-0.55, order.width - 0.45), ylim=(order.height - 0.45, -0.55), aspect="equal")
    axes.axis("off")


def _draw_path(axes: Axes, points: NDArray[np.float64], near: NDArray[np.bool_], cell_points: float) -> None:
    """Draw steps between neighbours (diagonal ones too) bold and with an arrow head now and then, jumps thin."""
    segments = np.stack((points[:-1], points[1:]), axis=1)  # n-1 2 2
    colours = STEP_COLOURS(np.linspace(0, 1, max(len(segments), 1)))[: len(segments)]
    thin, bold = max(cell_points * 0.035, 0.35), max(cell_points * 0.12, 0.7)
    axes.add_collection(LineCollection(list(segments[~near]), colors=colours[~near], linewidths=thin, alpha=0.6))
    axes.add_collection(LineCollection(list(segments[near]), colors=colours[near], linewidths=bold, capstyle="round"))
    spacing = max(2, round(math.sqrt(len(points)) / 2))
    headed = near & (np.arange(len(near)) % spacing == spacing // 2)
    along = np.diff(points, axis=0)[headed]
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    across = along[:, ::-1] * (-1, 1)
    middle = segments[headed].mean(axis=1)
    corners = (middle + 0.22 * along, middle - 0.16 * along + 0.19 * across, middle - 0.16 * along - 0.19 * across)
    heads = np.stack(corners, axis=1)  # m 3 2
    axes.add_collection(PolyCollection(list(heads), facecolors=colours[headed], edgecolors="none", zorder=3))


def _draw_first_jumps(axes: Axes, points: NDArray[np.float64], cell_points: float) -> None:
    """Draw arrows for the first steps only; all of them would hide the tiles."""
    style = {"arrowstyle": "-|>", "color": _INK, "linewidth": max(cell_points * 0.05, 0.5), "shrinkA": 0, "shrinkB": 0}
    for start, end in pairwise(points):
        axes.annotate("", tuple(end), tuple(start), arrowprops={**style, "mutation_scale": cell_points * 0.45})


def _draw_ends(axes: Axes, points: NDArray[np.float64], cell_points: float) -> None:
    """Mark the last cell with a square and the first with a ring, but for a single cell."""
    area, edge = (cell_points * 0.4) ** 2, cell_points * 0.09
    (first_x, first_y), (last_x, last_y) = points[0], points[-1]
    if len(points) > 1:
        colour = STEP_COLOURS(1.0)
        axes.scatter(
            last_x, last_y, s=area, marker="s", color=colour, edgecolors="white", linewidths=edge / 2, zorder=4
        )
    axes.scatter(first_x, first_y, s=area, marker="o", color="white", edgecolors=_INK, linewidths=edge, zorder=5)


def _add_panel(figure: Figure, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Add axes by their lower left corner and size in inches."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((corner[0] / wide, corner[1] / tall, size[0] / wide, size[1] / tall))


def _panel_size(order: ScanOrder, inches: float) -> tuple[float, float]:
    """Width and height in inches, the longer one as given; one row or column still makes a picture."""
    longer = max(order.height, order.width)
    return inches * max(order.width / longer, 0.1), inches * max(order.height / longer, 0.1)


def _cell_points(size: tuple[float, float], order: ScanOrder) -> float:
    """Side of a cell in points, for a panel of this size in inches."""
    return 72 * min(size[0] / order.width, size[1] / order.height)
