"""Signal `instruction`: before every code a token that says which cell comes next, at twice the length."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.prior.signals.base import AdditiveSignal, RotarySignal, Rotation
from vqgen.prior.signals.cell_rotation import CellRotation
from vqgen.prior.steps import Steps


class OwnRotarySignal(RotarySignal):
    """Ordinary two-dimensional rotary embedding over two rows a step: each row's query and key turn by its own cell.

    The row of the content sits in the content's cell, the row of the instruction in the cell to predict.

    Args:
        dim: width of the prior, d.
        heads: attention heads; d / heads must be divisible by 4.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when the width of a head does not divide into row and column pairs.

    Example:
        >>> from vqgen.prior import steps_of
        >>> signal = OwnRotarySignal(dim=16, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).cosine.shape
        torch.Size([1, 8, 2, 1, 8])
    """

    rows = 2

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.of_cell = CellRotation(dim=dim, heads=heads, height=height, width=width)

    def forward(self, steps: Steps) -> Rotation:
        """Look the rotations up.

        Args:
            steps: the run of steps.

        Returns:
            Cosines and sines, (b, 2 m, 2, 1, e) each.
        """
        cells = torch.stack((steps.content, steps.target), dim=-1).flatten(1)  # (b, 2 m): content, target, content, ...
        return Rotation(*self.of_cell(cells[..., None, None].expand(-1, -1, 2, -1)))  # query and key alike


class InstructionSignal(AdditiveSignal):
    """A token of its own before every code, which asks for the code of a cell.

    ``start, ask(positions[0]), code(positions[0]), ask(positions[1]), ...``: the code of a cell is predicted from the
    token that asks for it. All of these are one learned vector, turned by the row and column of the cell as rotary
    embedding turns features; on top of that, queries and keys of instructions and codes turn by their own cells. With
    two rows a step, a training step costs about twice as much. Asking about several cells at once is natural here: it
    takes an instruction for each. The signal says all there is to say and combines with no other.

    Args:
        dim: width of the prior, d.
        heads: attention heads; d / heads must be divisible by 4.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Raises:
        ValueError: when the width of a head does not divide into row and column pairs.

    Example:
        >>> from vqgen.prior import steps_of
        >>> signal = InstructionSignal(dim=16, heads=2, height=2, width=3)
        >>> signal(steps_of(torch.arange(6), first=0, count=4, batch_size=2)).shape
        torch.Size([1, 8, 16])

    Source: Pang et al., RandAR (2412.01827). As there, except for the base of the angles, which is that of `rotary`,
    and for the start, which is not turned.
    """

    rows = 2

    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__(dim=dim, heads=heads, height=height, width=width)
        self.rotary = OwnRotarySignal(dim=dim, heads=heads, height=height, width=width)
        self.of_cell = CellRotation(dim=dim, heads=heads, height=height, width=width)
        self.vector = nn.Parameter(0.02 * torch.randn(heads, dim // heads))

    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Make the instructions.

        Args:
            steps: the run of steps.

        Returns:
            (b, 2 m, d) nothing for the rows of contents, and a turned vector for those of instructions.
        """
        cosine, signed_sine = self.of_cell(steps.target[..., None])  # (b, m, 1, e)
        turned = self.vector * cosine + self.vector.roll(self.vector.shape[-1] // 2, dims=-1) * signed_sine
        asked = turned.flatten(2)  # (b, m, heads, e) -> (b, m, d)
        return torch.stack((torch.zeros_like(asked), asked), dim=2).flatten(1, 2)
