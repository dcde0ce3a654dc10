"""A walk over a large grid, cut into runs within windows of the size a prior was trained on."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from vqgen.editing.placement import Walk, WindowRun
from vqgen.orders import ScanOrder


def plan_windows(
    order: ScanOrder,
    *,
    height: int,
    width: int,
    margin: int | None = None,
    one_by_one: bool = False,
    known: Bool[Tensor, "h w"] | None = None,
    own: ScanOrder | None = None,
) -> list[WindowRun]:
    """Cut a walk over a large grid into runs, each within a window of the size the prior was trained on.

    The order is kept: a cell is drawn when all earlier ones are known, and sees those that lie in its window. A window
    is placed where it takes in the longest run of the cells that come next, and then where it holds most of what is
    known; a run costs one pass over its context and a step for each cell. In raster order a run is about ``width - 2 *
    margin`` cells long; an order that jumps about needs a window for every cell.

    Args:
        order: of the large grid.
        height: rows of the window, the prior's.
        width: columns of the window, the prior's.
        margin: cells that a drawn cell sees at least to each side, unless the large grid ends before; from 0 to
            ``(min(height, width) - 1) // 2``, None takes ``min(height, width) // 4``. A prior that knows one order only
            gets as much of it as its order allows.
        one_by_one: the way of taming-transformers instead: a window for every cell, with the cell in its middle, as
            many passes as there are cells.
        known: (h, w) of the large grid, cells that need not be drawn; None for none.
        own: the one order that the prior knows, of the window's size; None for a prior that takes any order.

    Returns:
        The runs, in sequence; all cells that are not known occur once.

    Raises:
        ValueError: if the window is larger than the grid, the margin does not fit, or the prior's own order does not
            allow this one: in some window the known cells are not the beginning of its own order, or leave out a known
            neighbour of the cell to draw.

    Example:
        >>> from vqgen.orders import scan_order
        >>> runs = plan_windows(scan_order("raster", height=4, width=6), height=4, width=4, margin=1)
        >>> [(run.left, len(run.context), run.cells) for run in runs[:3]]
        [(0, 0, (0, 1, 2)), (2, 1, (3, 4, 5)), (0, 4, (6, 7, 8))]

    Source: the sliding attention window of Esser et al., Taming Transformers (2012.09841), section 3.3, there for
        raster
    order and one cell at a time.
    """
    if order.height < height or order.width < width:
        raise ValueError(
            f"expected a grid of at least the prior's {height} x {width} cells, got {order.height} x {order.width}; "
            "a smaller picture is a part of one of the trained size"
        )
    most = (min(height, width) - 1) // 2
    margin = min(min(height, width) // 4, most) if margin is None else margin
    if not 0 <= margin <= most:
        raise ValueError(f"margin must be from 0 to {most} cells in windows of {height} x {width}, got {margin}")
    plan = Walk(order, height, width, None if one_by_one else margin, own)
    if known is not None:
        plan.known |= known.cpu().numpy()
    waiting = [cell for cell in order.positions.tolist() if not plan.known.flat[cell]]
    runs: list[WindowRun] = []
    done = 0
    while done < len(waiting):
        runs.append(plan.next_run(waiting[done : done + height * width]))
        done += len(runs[-1].cells)
    return runs
