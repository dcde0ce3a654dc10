"""Which cells a run of steps is about: the cell its content sits in, and the cell it predicts."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

NO_CELL = -1
"""The content cell of the start vector, which stands for no code and so sits nowhere."""


@dataclass(frozen=True)
class Steps:
    """Steps ``first .. first + m - 1`` of an order, as every position signal sees them.

    At step t the prior reads the code found at ``positions[t - 1]`` and predicts the code at ``positions[t]``. A
    leading size of 1 stands for an order that all images share.

    Attributes:
        index: (m,) the step itself, t.
        content: (b, m) or (1, m) raster index of the cell the step's content comes from; -1 at step 0, the start.
        target: (b, m) or (1, m) raster index of the cell the step predicts.
    """

    index: Int[Tensor, " m"]
    content: Int[Tensor, "b m"]
    target: Int[Tensor, "b m"]


def steps_of(positions: Int[Tensor, "... n"], *, first: int, count: int, batch_size: int) -> Steps:
    """Cut a run of steps out of an order.

    Args:
        positions: (n,) or (b, n) raster index of the cell visited at each step.
        first: the first step of the run, >= 0.
        count: m, number of steps, with ``first + m <= n``.
        batch_size: b, number of sequences that go through these steps.

    Returns:
        The run, with sizes (1, m) for an order given as (n,).

    Raises:
        ValueError: when the order is too short, or its shape fits neither form.

    Example:
        >>> import torch
        >>> steps = steps_of(torch.tensor([2, 0, 3, 1]), first=0, count=3, batch_size=5)
        >>> steps.content.tolist(), steps.target.tolist()
        ([[-1, 2, 0]], [[2, 0, 3]])
    """
    if positions.ndim not in (1, 2) or (positions.ndim == 2 and positions.shape[0] != batch_size):
        raise ValueError(
            f"expected positions of shape (n,), shared by the batch, or ({batch_size}, n), one order per sequence, "
            f"got {tuple(positions.shape)}"
        )
    if first + count > positions.shape[-1]:
        raise ValueError(
            f"expected positions for at least {first + count} steps, got {positions.shape[-1]}; "
            "pass the whole order, not a part"
        )
    rows = positions if positions.ndim == 2 else positions[None]
    target = rows[:, first : first + count]
    if first > 0:
        content = rows[:, first - 1 : first - 1 + count]
    else:
        content = F.pad(rows[:, : count - 1], (1, 0), value=NO_CELL)
    return Steps(torch.arange(first, first + count, device=positions.device), content, target)


def steps_asking(
    positions: Int[Tensor, "... n"], cells: Int[Tensor, "... m"], *, first: int, count: int, batch_size: int
) -> Steps:
    """Cut a run of steps out of an order whose last one is asked about several cells, whichever the order visits next.

    Each question is a step of its own: it reads what the last step reads, and predicts one of the cells.

    Args:
        positions: (n,) or (b, n) raster index of the cell visited at each step; those from the last step on are not
            looked at.
        cells: (m,) or (b, m) raster indices of the cells to predict at the last step.
        first: the first step of the run, >= 0.
        count: steps of the run, >= 1, the last one included.
        batch_size: b, number of sequences that go through these steps.

    Returns:
        The run of ``count - 1 + m`` steps.

    Raises:
        ValueError: when the order is too short, or a shape fits neither form.

    Example:
        >>> import torch
        >>> steps = steps_asking(torch.tensor([2, 0, 3, 1]), torch.tensor([3, 1]), first=1, count=2, batch_size=5)
        >>> steps.index.tolist(), steps.content.tolist(), steps.target.tolist()
        ([1, 2, 2], [[2, 0, 0]], [[0, 3, 1]])
    """
    if cells.ndim not in (1, 2) or cells.shape[-1] < 1 or (cells.ndim == 2 and cells.shape[0] != batch_size):
        raise ValueError(
            f"expected cells of shape (m,), shared by the batch, or ({batch_size}, m), with at least one cell, "
            f"got {tuple(cells.shape)}"
        )
    last, questions = first + count - 1, cells.shape[-1]
    rows, asked = (tensor if tensor.ndim == 2 else tensor[None] for tensor in (positions, cells))
    if rows.shape[0] not in (1, batch_size) or rows.shape[-1] < last:
        raise ValueError(
            f"expected positions of {last} steps or more, shared by the batch or one order for each of {batch_size} "
            f"sequences, got shape {tuple(positions.shape)}"
        )
    size = max(len(rows), len(asked))
    rows, asked = rows[:, :last].expand(size, -1), asked.expand(size, -1)
    content = F.pad(rows, (1, 0), value=NO_CELL)[:, first:]  # (b, count)
    index = torch.arange(first, first + count - 1 + questions, device=positions.device).clamp_max(last)
    return Steps(
        index,
        torch.cat((content, content[:, -1:].expand(-1, questions - 1)), dim=1),
        torch.cat((rows[:, first:], asked), dim=1),
    )


def check_positions(positions: Int[Tensor, "... n"], *, cells: int) -> None:
    """Refuse an order that leaves the grid or visits a cell twice.

    Args:
        positions: (n,) or (b, n) raster indices; n may be less than the number of cells.
        cells: number of cells of the grid, h * w.

    Raises:
        ValueError: saying what is wrong.

    Example:
        >>> import torch
        >>> check_positions(torch.tensor([0, 2, 2, 1]), cells=4)
        Traceback (most recent call last):
        ...
        ValueError: positions must visit each cell at most once, got a cell twice; pass ScanOrder.positions
    """
    if positions.numel() == 0:
        raise ValueError("positions must name at least one cell, got none; pass ScanOrder.positions")
    least, most = int(positions.min()), int(positions.max())
    if least < 0 or most >= cells:
        raise ValueError(
            f"positions must be raster indices from 0 to {cells - 1}, got {least} to {most}; "
            "use an order made for this grid"
        )
    ordered = positions.sort(dim=-1).values
    if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
        raise ValueError("positions must visit each cell at most once, got a cell twice; pass ScanOrder.positions")
