"""The policy of a new random order for every sample."""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.policy import OrderPolicy, device_of

RANDOM_PER_SAMPLE = "random-per-sample"


class RandomPerSample(OrderPolicy):
    """Every sample in an order of its own, uniformly random, new at every call: for priors that take any order.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> positions = RandomPerSample(height=2, width=2).positions(3, torch.Generator().manual_seed(0))
        >>> positions.sort(dim=1).values.tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]

    Source:
        Pannatier et al., sigma-GPT, arXiv:2404.09562; Pang et al., RandAR, arXiv:2412.01827.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__(RANDOM_PER_SAMPLE, height=height, width=width)

    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Draw one permutation per sample.

        Args:
            batch_size: b.
            generator: what to draw from; without one, torch's own generator for the CPU.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one).
        """
        shape = (batch_size, self.height * self.width)
        # Sorting by random keys makes every permutation equally likely; double precision makes ties negligible.
        keys = torch.rand(shape, generator=generator, dtype=torch.float64, device=device_of(generator))
        return keys.argsort(dim=1)

    def describe(self) -> dict[str, Any]:
        """Say name, height and width."""
        return {"name": self.name, "height": self.height, "width": self.width}
