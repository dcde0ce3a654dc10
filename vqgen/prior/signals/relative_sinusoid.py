"""Signal `relative`: sinusoids of the displacement, projected, and two biases that stand for any query."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.prior.signals.relative import RelativeSignal

BASE = 10000.0


class SinusoidSignal(RelativeSignal):
    """Scores ``((q + u) k^T + (q + v) (W s)^T) / sqrt(e)``, with sinusoids ``s`` of the displacement between two cells.

    The bias u says which content is looked at whatever the query, v which displacement. Half of the sinusoids are of
    the displacement in rows, half in columns. Against the start, which sits outside the grid, they tell a query its own
    row and column. Every displacement is projected by the same weights, so far ones are known from near ones.

    Args:
        dim: width of the prior, d; divisible by 4.
        heads: attention heads.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when d does not divide into two halves of pairs.

    Example:
        >>> signal = SinusoidSignal(dim=16, heads=2, height=2, width=3)
        >>> query, down, across = signal(torch.randn(4, 2, 6, 8))
        >>> down.shape, across.shape
        (torch.Size([4, 2, 6, 5]), torch.Size([4, 2, 6, 8]))

    Source: Dai et al., Transformer-XL (1901.02860), section 3.3; there along a text, here along two axes.
    """

    sinusoids_down: Tensor
    sinusoids_across: Tensor

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        if dim % 4:
            raise ValueError(f"the relative signal needs a width divisible by 4, got dim={dim}")
        self.down = nn.Linear(dim // 2, dim, bias=False)
        self.across = nn.Linear(dim // 2, dim, bias=False)
        for project in (self.down, self.across):
            nn.init.normal_(project.weight, std=0.02)
        self.register_buffer("sinusoids_down", _sinusoids(height, dim // 4), persistent=False)  # they follow from
        self.register_buffer("sinusoids_across", _sinusoids(width, dim // 4), persistent=False)  # the grid
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, dim // heads))
        self.displacement_bias = nn.Parameter(torch.zeros(heads, 1, dim // heads))

    def forward(
        self, query: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads m e"], Float[Tensor, "b heads m down"], Float[Tensor, "b heads m across"]]:
        """Multiply with the projected sinusoids; see `RelativeSignal.forward`."""
        heads, width = query.shape[1], query.shape[3]
        asking = query + self.displacement_bias.to(query.dtype)
        down, across = (
            asking @ project(sinusoids).view(-1, heads, width).permute(1, 2, 0)  # (heads, e, displacements)
            for project, sinusoids in ((self.down, self.sinusoids_down), (self.across, self.sinusoids_across))
        )
        return query + self.content_bias.to(query.dtype), down, across


def _sinusoids(size: int, pairs: int) -> Float[Tensor, "displacements features"]:
    """Of the displacements between the cells of an axis, and then of those from the start."""
    displacements = torch.arange(1 - size, 2 * size)
    angles = torch.outer(displacements, BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs))
    return torch.cat((angles.sin(), angles.cos()), dim=1).float()
