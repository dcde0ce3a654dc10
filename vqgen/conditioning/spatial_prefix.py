"""A condition that is read before the image: its codes come first in the sequence."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vqgen.conditioning.base import Told
from vqgen.conditioning.spatial import SpatialConditioner


class PrefixGridConditioner(SpatialConditioner):
    """Puts the condition's codes before the image's, in raster order, where every step sees all of them.

    Each row is the code's vector plus what is learned of its row and of its column in the condition, so the condition
    may have any size, and the order in which the image is visited says nothing about it. The sequence grows by h' * w'
    rows.

    Args:
        num_codes: number of codes or labels, >= 1; they run from 0 to num_codes - 1.
        grid_height: rows of the condition, h'.
        grid_width: columns of the condition, w'.
        dim: width of the prior, d.
        condition_dropout: probability in [0, 1] of hiding a grid in training mode.
        code_dim: width of the latents that `use_codebook` was given; None without.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> conditioner = PrefixGridConditioner(16, 2, 3, dim=8).eval()
        >>> conditioner(torch.randint(16, (5, 2, 3)), batch_size=5).prefix.shape
        torch.Size([5, 6, 8])

    Source: Esser et al., Taming Transformers (2012.09841), section 3.2: the codes of the condition are prepended.
    """

    def __init__(
        self,
        num_codes: int,
        grid_height: int,
        grid_width: int,
        *,
        dim: int,
        condition_dropout: float = 0.1,
        code_dim: int | None = None,
    ) -> None:
        super().__init__(
            num_codes,
            grid_height,
            grid_width,
            dim=dim,
            condition_dropout=condition_dropout,
            code_dim=code_dim,
        )
        self.prefix_rows = grid_height * grid_width
        self.row = nn.Parameter(torch.empty(grid_height, 1, dim).normal_(std=0.02))
        self.column = nn.Parameter(torch.empty(1, grid_width, dim).normal_(std=0.02))

    def forward(
        self, condition: Int[Tensor, "b r c"] | None, batch_size: int, generator: torch.Generator | None = None
    ) -> Told:
        """Write the condition down as rows.

        Args:
            condition: (b, h', w') int64 in [-1, num_codes), -1 for none; or None for no grid at all.
            batch_size: b, number of images.
            generator: draws which grids are hidden in training; torch's global one when None.

        Returns:
            A start vector, and h' * w' rows to come before it.

        Raises:
            ValueError: when the shape does not fit or a code is out of range, see `embed`.
        """
        vectors = self.embed(condition, batch_size, generator) + self.row + self.column
        return Told(self.start.expand(batch_size, -1), prefix=vectors.flatten(1, 2))  # (b, h', w', d) -> (b, p, d)
