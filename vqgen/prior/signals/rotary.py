"""Signal `rotary`: two-dimensional rotary embedding in which the query looks from the cell it is about to predict."""

import torch

from vqgen.prior.signals.base import RotarySignal, Rotation
from vqgen.prior.signals.cell_rotation import CellRotation
from vqgen.prior.steps import Steps


class TargetRotarySignal(RotarySignal):
    """Rotate each query by its target cell and each key by its content's cell.

    A rotation by angles proportional to row and column turns the score of a query at cell p and a key at cell q into a
    function of p - q. Ordinary rotary embedding uses one position for both. Here the query of step t, which reads the
    code of ``positions[t - 1]``, is rotated by ``positions[t]``, the cell it has to fill: attention then sees how far
    each known code lies from the gap, under any order and at length n. One half of the feature pairs turns with the
    row, the other with the column. The key of the start sits on no cell and is not rotated: against it a query is told
    its own row and column instead of a displacement.

    Args:
        dim: width of the prior, d.
        heads: attention heads; d / heads must be divisible by 4.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when the width of a head does not divide into row and column pairs.

    Example:
        >>> import torch
        >>> from vqgen.prior import steps_of
        >>> signal = TargetRotarySignal(dim=16, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).cosine.shape
        torch.Size([1, 4, 2, 1, 8])

    Source: Su et al., RoFormer (2104.09864), section 3.2, for the rotation; `CellRotation` for its angles.
    """

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.of_cell = CellRotation(dim=dim, heads=heads, height=height, width=width)

    def forward(self, steps: Steps) -> Rotation:
        """Look the rotations up.

        Args:
            steps: the run of steps.

        Returns:
            Cosines and sines, (b, m, 2, 1, e) each.
        """
        cells = torch.stack((steps.target, steps.content), dim=-1)[..., None]  # (b, m, 2, 1): query, then key
        return Rotation(*self.of_cell(cells))
