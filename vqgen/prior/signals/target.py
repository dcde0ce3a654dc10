"""Signal `target`: which cell the content sits in, and which cell is to be predicted."""

from jaxtyping import Float
from torch import Tensor

from vqgen.prior.signals.base import AdditiveSignal
from vqgen.prior.signals.cell import CellTable
from vqgen.prior.steps import Steps


class TargetSignal(AdditiveSignal):
    """Two learned vectors, for the content's cell ``positions[t - 1]`` and for the cell to predict, ``positions[t]``.

    Told where it is going, one prior can serve every order. This holds all that `cell` says, so the two need not be
    combined.

    Args:
        dim: width of the prior, d.
        heads: unused.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Example:
        >>> import torch
        >>> from vqgen.prior import steps_of
        >>> signal = TargetSignal(dim=8, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.randperm(6), first=2, count=1, batch_size=2)).shape
        torch.Size([1, 1, 8])

    Source: Yu et al., Randomized Autoregressive Visual Generation (2411.00776), section 3.3; Pannatier et al.,
    sigma-GPTs (2404.09562).
    """

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.content = CellTable(dim=dim, height=height, width=width)
        self.target = CellTable(dim=dim, height=height, width=width)

    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Look up both cells.

        Args:
            steps: the run of steps.

        Returns:
            (b, m, d) vectors to add.
        """
        return self.content(steps.content) + self.target(steps.target)
