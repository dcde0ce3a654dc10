"""What every conditioner is: a condition in, one start vector per image out."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

NO_LABEL = -1
"""The label that says "no label": the image is modelled, or drawn, unconditionally."""


class Conditioner(nn.Module, ABC):
    """Base of all conditioners.

    Attributes:
        dim: width of a start vector, d.
    """

    dim: int

    @abstractmethod
    def forward(
        self,
        condition: Int[Tensor, " b"] | None,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d"]:
        """Start vectors (b, d) of conditions (b,), or of none; the generator draws which conditions training hides."""
