"""No condition at all: one learned start vector."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vqgen.conditioning.base import Conditioner, Told


class Unconditional(Conditioner):
    """One learned vector that starts every sequence.

    Args:
        dim: width of the start vector, d.

    Raises:
        ValueError: from the call, when a condition is given all the same.

    Example:
        >>> Unconditional(8)(None, batch_size=2).start.shape
        torch.Size([2, 8])
    """

    reads = None

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.start = nn.Parameter(torch.empty(dim).normal_(std=0.02))

    def forward(
        self,
        condition: Int[Tensor, "b *shape"] | None,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Told:
        """Give the start vector to every image.

        Args:
            condition: None; there is nothing to be told.
            batch_size: b, number of images.
            generator: unused.

        Returns:
            The same start vector b times.

        Raises:
            ValueError: when a condition is given.
        """
        if condition is not None:
            raise ValueError(
                "this prior is unconditional and takes no condition, got labels; "
                "pass condition=None, or build the prior with num_classes >= 1"
            )
        return Told(self.start.expand(batch_size, -1))
