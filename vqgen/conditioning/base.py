"""What every conditioner is: a condition in, what the prior is told of the image out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

NO_LABEL = -1
"""The label that says "no label": the image is modelled, or drawn, unconditionally."""


@dataclass(frozen=True)
class Told:
    """What a prior is told of a batch of images, in up to four ways at once.

    Attributes:
        start: (b, d) the input of step 0.
        memory: (b, s, d) vectors that every step looks at, in every block (cross-attention); None without.
        memory_mask: (b, s) which of them are there, at least one per image; None for all.
        prefix: (b, p, d) rows before the start, of the same sequence and visible to all that follow them; None without.
        cells: (b, h * w, d) what to add to a step by the cell it predicts, in raster order; None without.
        tokens: (b, p) what the rows before the start are to predict in training; None where they predict nothing.

    Example:
        >>> told = Told(torch.zeros(2, 8), memory=torch.zeros(2, 5, 8))
        >>> told.memory.shape, told.prefix
        (torch.Size([2, 5, 8]), None)
    """

    start: Float[Tensor, "b d"]
    memory: Float[Tensor, "b s d"] | None = None
    memory_mask: Bool[Tensor, "b s"] | None = None
    prefix: Float[Tensor, "b p d"] | None = None
    cells: Float[Tensor, "b cells d"] | None = None
    tokens: Int[Tensor, "b p"] | None = None


@dataclass(frozen=True)
class PrefixNll:
    """Negative log-likelihood of what the rows before the start predict.

    Attributes:
        nats: (b, p), 0 where nothing is predicted.
        counted: (b, p) where something is.
    """

    nats: Float[Tensor, "b p"]
    counted: Bool[Tensor, "b p"]

    @property
    def mean(self) -> Float[Tensor, ""]:
        """Mean over what is predicted; 0 where nothing is."""
        return self.nats.sum() / self.counted.sum().clamp_min(1)


class Conditioner(nn.Module, ABC):
    """Base of all conditioners.

    A condition is an int64 tensor whose first size is the batch; -1 throughout an image's condition, or None for the
    batch, says that nothing is told.

    Attributes:
        dim: width of what the prior is told, d.
        reads: the field of a training batch that holds the condition; None for a prior that is told nothing.
        memory_rows: s of `Told.memory`, the same for every condition; 0 without one.
        prefix_rows: p of `Told.prefix`, likewise.
    """

    reads: ClassVar[str | None] = "labels"
    dim: int
    memory_rows: int = 0
    prefix_rows: int = 0

    @abstractmethod
    def forward(
        self,
        condition: Int[Tensor, "b *shape"] | None,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Told:
        """What is told of b images by their conditions, or by none; the generator draws which ones training hides."""

    def prefix_nll(self, hidden: Float[Tensor, "b p d"], told: Told) -> PrefixNll | None:
        """How well the rows before the start predict what follows them in the condition itself.

        Args:
            hidden: (b, p, d) what the prior made of these rows.
            told: what `forward` gave.

        Returns:
            Nats; None of a condition that is read and not modelled, which most are.
        """
        return None
