"""A condition that lies under the image, cell on cell."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.conditioning.base import Told
from vqgen.conditioning.spatial import SpatialConditioner


class AlignedGridConditioner(SpatialConditioner):
    """Tells each step what the condition shows at the cell that the step predicts.

    The step that predicts cell c receives ``context(v)[c]``, where v are the vectors of the condition laid over the
    prior's grid. It is looked up by cell and not by step, so it goes where the cell goes: any order, also one per
    image, finds it in its place. A condition as fine as the prior's grid is taken cell by cell; one that is finer by
    whole numbers, patch by patch, ``sum_i A_i v_i`` over the codes of a patch; any other by the nearest cell.

    Args:
        num_codes: number of codes or labels, >= 1; they run from 0 to num_codes - 1.
        grid_height: rows of the condition, h'.
        grid_width: columns of the condition, w'.
        dim: width of the prior, d.
        height: rows of the prior's grid, h; None is h'.
        width: columns of the prior's grid, w; None is w'.
        context: lets a cell see its surroundings, (b, d, h, w) to the same shape, such as `ConvolutionalContext`; None
            tells of each cell what lies there and nothing else.
        condition_dropout: probability in [0, 1] of hiding a grid in training mode.
        code_dim: width of the latents that `use_codebook` was given; None without.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> conditioner = AlignedGridConditioner(16, 4, 6, dim=8, height=2, width=3).eval()
        >>> conditioner(torch.randint(16, (5, 4, 6)), batch_size=5).cells.shape
        torch.Size([5, 6, 8])

    Source: Esser et al., Taming Transformers (2012.09841), section 3.2, where the codes of the condition come first in
    the sequence (`PrefixGridConditioner`); here they are added where they belong, and the sequence stays as it is.
    """

    def __init__(
        self,
        num_codes: int,
        grid_height: int,
        grid_width: int,
        *,
        dim: int,
        height: int | None = None,
        width: int | None = None,
        context: nn.Module | None = None,
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
        self.height = grid_height if height is None else height
        self.width = grid_width if width is None else width
        if min(self.height, self.width) < 1:
            raise ValueError(
                f"height and width must be >= 1, got {self.height} x {self.width}; pass the prior's grid size"
            )
        self.context = context
        divides = grid_height % self.height == 0 and grid_width % self.width == 0
        self.patch = (grid_height // self.height, grid_width // self.width) if divides else (1, 1)
        per_patch = self.patch[0] * self.patch[1]
        self.merge = nn.Linear(per_patch * dim, dim, bias=False) if per_patch > 1 else None
        if self.merge is not None:
            nn.init.normal_(self.merge.weight, std=(per_patch * dim) ** -0.5)

    def forward(
        self, condition: Int[Tensor, "b r c"] | None, batch_size: int, generator: torch.Generator | None = None
    ) -> Told:
        """Lay the condition over the prior's grid.

        Args:
            condition: (b, h', w') int64 in [-1, num_codes), -1 for none; or None for no grid at all.
            batch_size: b, number of images.
            generator: draws which grids are hidden in training; torch's global one when None.

        Returns:
            A start vector, and a vector for every cell.

        Raises:
            ValueError: when the shape does not fit or a code is out of range, see `embed`.
        """
        cells = self._laid_over(self.embed(condition, batch_size, generator))
        if self.context is not None:
            cells = self.context(cells.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (b, d, h, w) inside
        return Told(self.start.expand(batch_size, -1), cells=cells.reshape(batch_size, -1, self.dim))

    def _laid_over(self, vectors: Float[Tensor, "b r c d"]) -> Float[Tensor, "b h w d"]:
        if self.merge is not None:
            down, across = self.patch
            patches = vectors.reshape(len(vectors), self.height, down, self.width, across, self.dim).transpose(2, 3)
            merged: Tensor = self.merge(patches.flatten(3))  # (b, h, w, down, across, d) before
            return merged
        if vectors.shape[1:3] == (self.height, self.width):
            return vectors
        nearest = [
            ((torch.arange(cells, device=vectors.device) + 0.5) * given / cells).long()  # the cell under the centre
            for cells, given in ((self.height, self.grid_height), (self.width, self.grid_width))
        ]
        return vectors.index_select(1, nearest[0]).index_select(2, nearest[1])
