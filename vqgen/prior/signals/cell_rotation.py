"""The angles by which rotary embedding turns features, for every cell of a grid."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

BASE = 100.0
"""Ratio between the fastest and the slowest rotation, over grids of some tens of cells a side."""


class CellRotation(nn.Module):
    """Cosines and sines of two-dimensional rotary embedding: half of the feature pairs turn with the row, half with the
    column.

    Args:
        dim: width of the prior, d.
        heads: attention heads; d / heads must be divisible by 4.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when the width of a head does not divide into row and column pairs.

    Example:
        >>> cosine, signed_sine = CellRotation(dim=16, heads=2, height=2, width=3)(torch.tensor([-1, 0, 5]))
        >>> cosine.shape, cosine[:2].sum().item(), signed_sine[:2].abs().sum().item()
        (torch.Size([3, 8]), 16.0, 0.0)

    Source: Su et al., RoFormer (2104.09864), section 3.2; Heo et al., Rotary Position Embedding for Vision Transformer
    (2403.13298), which has the split by axes and the base of 100.
    """

    cosine: Tensor
    signed_sine: Tensor

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__()
        head_dim = dim // heads
        if dim % heads or head_dim % 4:
            raise ValueError(
                f"rotary signals need heads whose width is divisible by 4, got dim={dim} and heads={heads}, "
                f"{dim / heads:g} each; choose dim = heads * 4 * something"
            )
        pairs = head_dim // 4  # per axis
        frequencies = BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
        cells = torch.arange(height * width)
        angles = torch.cat((torch.outer(cells // width, frequencies), torch.outer(cells % width, frequencies)), dim=1)
        # The index -1, no cell, reaches this last row: no rotation.
        angles = torch.cat((angles, torch.zeros(1, 2 * pairs)))
        sine = angles.sin()
        # Not saved: they follow from the grid.
        self.register_buffer("cosine", angles.cos().repeat(1, 2).float(), persistent=False)
        self.register_buffer("signed_sine", torch.cat((-sine, sine), dim=1).float(), persistent=False)

    def forward(self, cells: Int[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch e"], Float[Tensor, "*batch e"]]:
        """Look the angles of cells up.

        Args:
            cells: (...) raster indices, -1 for no cell, which is not turned.

        Returns:
            (..., e) cosines, and sines that are negative in the first half of the features.
        """
        return self.cosine[cells], self.signed_sine[cells]
