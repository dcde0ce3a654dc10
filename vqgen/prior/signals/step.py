"""Signal `step`: which step this is."""

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.prior.signals.base import AdditiveSignal
from vqgen.prior.steps import Steps


class StepSignal(AdditiveSignal):
    """One learned vector per step t, whatever the order makes of it.

    It says nothing of the grid: a prior with this signal alone knows one order, the one it was trained on.

    Args:
        dim: width of the prior, d.
        heads: unused.
        height: rows of the grid, h.
        width: columns of the grid, w; the table has h * w rows.

    Example:
        >>> import torch
        >>> from vqgen.prior import steps_of
        >>> signal = StepSignal(dim=8, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).shape
        torch.Size([1, 4, 8])

    Source: Esser et al., Taming Transformers (2012.09841), section 3.2.
    """

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.table = nn.Embedding(height * width, dim)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Look the steps up.

        Args:
            steps: the run of steps.

        Returns:
            (1, m, d) vectors to add.
        """
        vectors: Tensor = self.table(steps.index)
        return vectors[None]
