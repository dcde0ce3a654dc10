"""Statistics of an order: how far it steps, how near and how fresh the known cells are."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from vqgen.orders.scan_order import ScanOrder


@dataclass(frozen=True)
class OrderLocality:
    """What a prior finds around it under an order; distances in cells, ages in steps, nan where nothing counts.

    Args:
        mean_step: mean Euclidean length of a step.
        max_step: greatest Euclidean length of a step.
        mean_manhattan_step: mean of |rows| + |columns| moved.
        max_manhattan_step: greatest |rows| + |columns| moved.
        unit_step_fraction: share of steps that go to one of the four neighbours.
        mean_nearest_known: mean Euclidean distance from a cell, when it is visited, to the nearest cell visited before.
        median_nearest_known: the median of the same.
        isolated_fraction: share of cells, but the first, that are visited before all of their four neighbours.
        left_known_fraction: share of cells with a left neighbour whose left neighbour is visited before them.
        mean_left_age: how many steps ago it was visited then, in the mean.
        up_known_fraction: the same for the neighbour above.
        mean_up_age: the same for the neighbour above.

    Example:
        >>> from vqgen.orders import scan_order
        >>> measure_locality(scan_order("raster", height=16, width=16)).mean_up_age
        16.0
    """

    mean_step: float
    max_step: float
    mean_manhattan_step: float
    max_manhattan_step: float
    unit_step_fraction: float
    mean_nearest_known: float
    median_nearest_known: float
    isolated_fraction: float
    left_known_fraction: float
    mean_left_age: float
    up_known_fraction: float
    mean_up_age: float


def measure_locality(order: ScanOrder) -> OrderLocality:
    """Measure an order.

    Args:
        order: the order.

    Returns:
        Its statistics.

    Example:
        >>> from vqgen.orders import scan_order
        >>> measure_locality(scan_order("hilbert", height=8, width=8)).unit_step_fraction
        1.0
    """
    visited = _visited_cells(order)
    moves = visited.diff(dim=0).abs().double()  # n-1 2
    lengths, manhattan = moves.norm(dim=1), moves.sum(1)
    nearest = _distance_to_nearest_known(visited)
    steps = order.steps.reshape(order.height, order.width)
    left_age, up_age = steps.diff(dim=1).flatten(), steps.diff(dim=0).flatten()
    return OrderLocality(
        mean_step=lengths.mean().item(),
        max_step=_greatest(lengths),
        mean_manhattan_step=manhattan.mean().item(),
        max_manhattan_step=_greatest(manhattan),
        unit_step_fraction=(manhattan == 1).double().mean().item(),
        mean_nearest_known=nearest.mean().item(),
        median_nearest_known=nearest.quantile(0.5).item() if len(nearest) else math.nan,
        isolated_fraction=(nearest > 1).double().mean().item(),
        left_known_fraction=(left_age > 0).double().mean().item(),
        mean_left_age=left_age[left_age > 0].double().mean().item(),
        up_known_fraction=(up_age > 0).double().mean().item(),
        mean_up_age=up_age[up_age > 0].double().mean().item(),
    )


def distance_at_lag(order: ScanOrder, lag: int) -> float:
    """Mean Euclidean distance between the cells visited `lag` steps apart: how fast an order leaves a place.

    A curve that keeps together, such as hilbert, grows like the square root of the lag.

    Args:
        order: the order.
        lag: steps apart, in [1, n - 1].

    Returns:
        The distance in cells.

    Raises:
        ValueError: if the lag is out of range.

    Example:
        >>> from vqgen.orders import scan_order
        >>> distance_at_lag(scan_order("raster", height=1, width=8), 3)
        3.0
    """
    visited = _visited_cells(order)
    if not 1 <= lag < len(visited):
        raise ValueError(f"lag must be in [1, {len(visited) - 1}] for {len(visited)} cells, got lag={lag}")
    return (visited[lag:] - visited[:-lag]).double().norm(dim=1).mean().item()


def _visited_cells(order: ScanOrder) -> Int64[Tensor, "n 2"]:
    """Row and column of the cell visited at each step."""
    return torch.stack((order.positions // order.width, order.positions % order.width), dim=1)


def _distance_to_nearest_known(visited: Int64[Tensor, "n 2"]) -> Float64[Tensor, "n-1"]:
    """Distance from each cell but the first to the nearest one before it, in blocks that bound the memory."""
    cells = visited.double()
    nearest = [torch.empty(0, dtype=torch.float64)]
    for block in torch.split(torch.arange(1, len(cells)), 512):
        distances = torch.cdist(cells[block], cells, compute_mode="donot_use_mm_for_euclid_dist")  # block n
        not_yet = torch.arange(len(cells)) >= block[:, None]
        nearest.append(distances.masked_fill(not_yet, math.inf).amin(1))
    return torch.cat(nearest)


def _greatest(values: Float64[Tensor, "m"]) -> float:
    return values.max().item() if len(values) else math.nan
