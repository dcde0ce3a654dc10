"""Signal `double`: fixed sinusoids of the content's cell in one half of the features, of the target's in the other."""

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.prior.signals.base import AdditiveSignal
from vqgen.prior.steps import Steps

BASE = 10000.0
SIZE = 0.02
"""Root mean square of the encodings over sqrt(1/2), that of the embeddings of codes at first: as loud as they are."""


class DoubleSignal(AdditiveSignal):
    """Two sinusoidal encodings of raster indices, side by side: where the content sits, and which cell is next.

    Half of the d features encode ``positions[t - 1]`` and half ``positions[t]``, each as a Transformer encodes the
    places of a text. Against `target`, which also says both: nothing is learned but how to read it, a cell is an index
    along the rows instead of a row and a column, and the two encodings have features of their own instead of being
    summed. The start has no content cell; its first half is zero.

    Args:
        dim: width of the prior, d; divisible by 4.
        heads: unused.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when d does not divide into two halves of pairs.

    Example:
        >>> from vqgen.prior import steps_of
        >>> signal = DoubleSignal(dim=8, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).shape
        torch.Size([1, 4, 8])

    Source: Pannatier et al., sigma-GPTs (2404.09562), the double positional encoding, there added to embeddings of unit
    variance; the sinusoids of Vaswani et al. (1706.03762), section 3.5.
    """

    encodings: Tensor

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        if dim % 4:
            raise ValueError(f"the double signal needs a width divisible by 4, got dim={dim}")
        pairs = dim // 4
        angles = torch.outer(torch.arange(height * width), BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs))
        encodings = SIZE * torch.cat((angles.sin(), angles.cos()), dim=1)
        # The index -1, no cell, reaches this last row. Not saved: it follows from the grid.
        encodings = torch.cat((encodings, torch.zeros(1, 2 * pairs))).float()
        self.register_buffer("encodings", encodings, persistent=False)

    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Look both encodings up.

        Args:
            steps: the run of steps.

        Returns:
            (b, m, d) vectors to add.
        """
        return torch.cat((self.encodings[steps.content], self.encodings[steps.target]), dim=-1)
