"""Signal `shaw`: a learned vector for every displacement, added to the key."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.prior.signals.relative import RelativeSignal

FARTHEST = 16
"""Displacements in rows or columns beyond this are not told apart."""


class ShawSignal(RelativeSignal):
    """Scores ``q (k + a)^T / sqrt(e)``, with a learned vector ``a`` for the displacement between the two cells.

    The vector of a displacement is that of its rows plus that of its columns, each clipped at 16, and is shared by the
    heads of a layer. Against the start, a query finds vectors for its own row and column.

    Args:
        dim: width of the prior, d.
        heads: attention heads.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Example:
        >>> signal = ShawSignal(dim=16, heads=2, height=2, width=3)
        >>> query, down, across = signal(torch.randn(4, 2, 6, 8))
        >>> down.shape, across.shape
        (torch.Size([4, 2, 6, 5]), torch.Size([4, 2, 6, 8]))

    Source: Shaw et al., Self-Attention with Relative Position Representations (1803.02155), equations 3 and 4, without
    the vectors that equation 3 adds to values; rows and columns as in Ramachandran et al., Stand-Alone Self-Attention
    in Vision Models (1906.05909), section 3, there in halves of the features.
    """

    index_down: Tensor
    index_across: Tensor

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.down, index_down = _table(height, dim // heads)
        self.across, index_across = _table(width, dim // heads)
        self.register_buffer("index_down", index_down, persistent=False)  # they follow from the grid
        self.register_buffer("index_across", index_across, persistent=False)

    def forward(
        self, query: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads m e"], Float[Tensor, "b heads m down"], Float[Tensor, "b heads m across"]]:
        """Multiply with the vectors; see `RelativeSignal.forward`."""
        return query, query @ self.down(self.index_down).T, query @ self.across(self.index_across).T


def _table(size: int, width: int) -> tuple[nn.Embedding, Int[Tensor, " displacements"]]:
    """Vectors for the displacements along an axis, and which of them each displacement takes."""
    nearest = min(FARTHEST, size - 1)
    table = nn.Embedding(2 * nearest + 1 + size, width)
    nn.init.normal_(table.weight, std=0.02)
    between = torch.arange(1 - size, size).clamp(-nearest, nearest) + nearest
    start = torch.arange(size) + 2 * nearest + 1  # the start is told apart at any distance
    return table, torch.cat((between, start))
