"""How the steps of a sequence are laid out as the rows that the blocks of the Transformer work on."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Rows:
    """Every step takes the same number of rows: the first holds its content, and its logits are read from the last.

    With one row a step the content and the question of what comes next share it. With two, the second row holds nothing
    but what a position signal adds to it, the question.

    Attributes:
        per_step: rows of a step, >= 1.

    Example:
        >>> import torch
        >>> rows = Rows(2)
        >>> spread = rows.spread(torch.ones(1, 2, 1))
        >>> spread.flatten().tolist(), rows.read(spread).flatten().tolist()
        ([1.0, 0.0, 1.0, 0.0], [0.0, 0.0])
    """

    per_step: int = 1

    def spread(self, contents: Float[Tensor, "b m d"]) -> Float[Tensor, "b rows d"]:
        """Put the contents of m steps into their rows, the others empty.

        Args:
            contents: (b, m, d) one vector a step.

        Returns:
            (b, m * per_step, d) rows.
        """
        if self.per_step == 1:
            return contents
        return F.pad(contents[:, :, None], (0, 0, 0, self.per_step - 1)).flatten(1, 2)  # (b, m, d) -> (b, m, rows, d)

    def read(self, rows: Float[Tensor, "b rows d"]) -> Float[Tensor, "b m d"]:
        """Take the row of each step that its logits come from.

        Args:
            rows: (b, m * per_step, d) rows of m steps.

        Returns:
            (b, m, d) one vector a step.
        """
        return rows if self.per_step == 1 else rows[:, self.per_step - 1 :: self.per_step]

    def asked(self, *, steps: int, questions: int, device: torch.device | str = "cpu") -> Int[Tensor, " rows"]:
        """Choose the rows of a pass in which the last step asks several questions about one content.

        Laid out as if each question were a step, only the first of them needs all rows of its step; the others need the
        row of the question itself.

        Args:
            steps: steps before the last one.
            questions: m, >= 1.
            device: where the indices go.

        Returns:
            Indices into the ``(steps + m) * per_step`` rows: those that come before the questions, then m questions.
        """
        each = torch.arange((steps + questions) * self.per_step, device=device).view(-1, self.per_step)
        return torch.cat((each[: steps + 1].flatten(), each[steps + 1 :, -1]))
