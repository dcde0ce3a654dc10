"""An order per image that visits the known cells first, then the unknown ones."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.orders import ScanOrder


@dataclass(frozen=True)
class KnownFirst:
    """Positions of each image with its known cells in front.

    Attributes:
        positions: (b, n) int64, the raster index of the cell visited at each step.
        known: how many cells of each image are known, b numbers.
    """

    positions: Int[Tensor, "b n"]
    known: tuple[int, ...]


def known_first(unknown: Bool[Tensor, "b h w"], order: ScanOrder, *, fixed: bool = False) -> KnownFirst:
    """Move the known cells of each image to the front; both parts keep the order given.

    Args:
        unknown: (b, h, w), True where a code is to be drawn.
        order: the order of the known cells among each other, and of the unknown ones.
        fixed: whether the prior knows this order only. It can then complete an image of which just the beginning is
            known, and no other.

    Returns:
        The positions and the number of known cells of each image.

    Raises:
        ValueError: if the grid is another than the order's, or the order is fixed and the known cells are not its
            beginning.

    Example:
        >>> from vqgen.orders import scan_order
        >>> unknown = torch.tensor([[[False, True], [True, False]], [[True, True], [False, False]]])
        >>> found = known_first(unknown, scan_order("snake", height=2, width=2))
        >>> found.positions.tolist(), found.known  # the snake visits 0, 1, 3, 2
        ([[0, 3, 1, 2], [3, 2, 0, 1]], (2, 2))
    """
    sequence = order.scan(unknown)  # (b, n), by step
    # A stable sort by "is unknown" keeps the order within both parts.
    steps = torch.sort(sequence.long(), dim=1, stable=True).indices
    if fixed:
        _check_beginning(sequence.cpu(), steps.cpu(), order)
    known = (sequence.shape[1] - sequence.sum(dim=1)).tolist()
    return KnownFirst(order.positions.to(unknown.device)[steps], tuple(known))


def _check_beginning(sequence: Bool[Tensor, "b n"], steps: Int[Tensor, "b n"], order: ScanOrder) -> None:
    moved = (steps != torch.arange(sequence.shape[1])).any(dim=1)
    if not bool(moved.any()):
        return
    image = int(moved.nonzero()[0])
    hole = int(sequence[image].nonzero()[0])
    later = hole + int((~sequence[image, hole:]).nonzero()[0])
    (row, column), (known_row, known_column) = (
        divmod(int(order.positions[step]), order.width) for step in (hole, later)
    )
    raise ValueError(
        f"this prior was trained in the order {order.name!r} and can only go on from a known beginning of it, but in "
        f"image {image} the unknown cell (row {row}, column {column}) is visited at step {hole}, before the known one "
        f"(row {known_row}, column {known_column}) at step {later}; use a prior trained with order random-per-sample, "
        "or a mask that hides every cell from the first unknown one on"
    )
