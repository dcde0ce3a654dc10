"""Signal `cell`: which cell the content of a step sits in."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.prior.signals.base import AdditiveSignal
from vqgen.prior.steps import Steps


class CellTable(nn.Module):
    """A learned vector for every cell of a grid, as the sum of its row's and its column's, with one more for "no cell".

    Rows and columns share what they learn across the grid, and the table grows with h + w rather than h * w.

    Args:
        dim: width of the vectors, d.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Example:
        >>> import torch
        >>> CellTable(dim=8, height=2, width=3)(torch.tensor([[-1, 0, 5]])).shape
        torch.Size([1, 3, 8])
    """

    row_of_cell: Tensor
    column_of_cell: Tensor

    def __init__(self, *, dim: int, height: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(height + 1, dim)
        self.columns = nn.Embedding(width + 1, dim)
        nn.init.normal_(self.rows.weight, std=0.02)
        nn.init.normal_(self.columns.weight, std=0.02)
        # The entry after the last cell is "no cell", which the index -1 reaches. Not saved: it follows from the grid.
        cells = torch.arange(height * width)
        self.register_buffer("row_of_cell", torch.cat((cells // width, torch.tensor([height]))), persistent=False)
        self.register_buffer("column_of_cell", torch.cat((cells % width, torch.tensor([width]))), persistent=False)

    def forward(self, cells: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
        """Look the cells up.

        Args:
            cells: (b, m) raster indices, -1 for no cell.

        Returns:
            (b, m, d) their vectors.
        """
        return self.rows(self.row_of_cell[cells]) + self.columns(self.column_of_cell[cells])


class CellSignal(AdditiveSignal):
    """A learned vector for the cell the content of a step comes from, ``positions[t - 1]``.

    The prior knows where everything it has read belongs, but not which cell is next: enough for one order, not for
    several.

    Args:
        dim: width of the prior, d.
        heads: unused.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Example:
        >>> import torch
        >>> from vqgen.prior import steps_of
        >>> signal = CellSignal(dim=8, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).shape
        torch.Size([1, 4, 8])
    """

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.content = CellTable(dim=dim, height=height, width=width)

    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Look up where the content sits.

        Args:
            steps: the run of steps.

        Returns:
            (b, m, d) vectors to add.
        """
        return self.content(steps.content)
