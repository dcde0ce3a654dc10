"""What the position signals and the attention say of every step of an order, computed once for a whole sequence."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention import Reach
from vqgen.prior.signals import Rotation


@dataclass(frozen=True)
class Located:
    """An order as the prior sees it.

    Attributes:
        added: (b, rows, d), or (1, rows, d) for an order that all images share, to add to the inputs; None without
            additive signals.
        rotation: of the queries and keys of all rows; None without a rotary signal.
        rows: rows that each step takes, see `Rows`.
        target: (b, rows) or (1, rows) cell that each row predicts; -1 for a row that predicts none.
        reaches: what each of the prior's attentions made of the places of the rows.
        prefix: how many of the rows come before the first step.
        questions: how many cells the last step is asked about; 0 where the order says which comes next.
    """

    added: Float[Tensor, "b rows d"] | None
    rotation: Rotation | None
    rows: int = 1
    target: Int[Tensor, "_ rows"] | None = None
    reaches: tuple[Reach, ...] = ()
    prefix: int = 0
    questions: int = 0

    def after(self, prefix: int) -> "Located":
        """Put rows before these that a condition makes, of which the signals say nothing.

        Args:
            prefix: how many.

        Returns:
            The same with those rows in front; which rows they reach is another question then.
        """
        if prefix == 0:
            return self
        return Located(
            None if self.added is None else F.pad(self.added, (0, 0, prefix, 0)),
            None if self.rotation is None else self.rotation.after(prefix),
            self.rows,
            None if self.target is None else F.pad(self.target, (prefix, 0), value=-1),
            prefix=prefix,
        )

    def cut(self, first: int, count: int) -> "Located":
        """Take what is said of some steps.

        Args:
            first: the first of them; with step 0 come the rows before it.
            count: how many.

        Returns:
            The same for these steps alone.

        Raises:
            ValueError: when there are not so many steps.
        """
        added, rotation, rows = self.added, self.rotation, self.rows
        told = (added, None if rotation is None else rotation.cosine, self.target)
        held = next((tensor.shape[1] for tensor in told if tensor is not None), 0)
        if self.prefix + (first + count) * rows > held:
            raise ValueError(
                f"expected positions for at least {first + count} steps, got {(held - self.prefix) // rows}; "
                "pass the whole order, not a part"
            )
        start = self.prefix + first * rows if first else 0
        size = self.prefix + (first + count) * rows - start
        return Located(
            None if added is None else added.narrow(1, start, size),
            None if rotation is None else rotation.cut(start, size),
            rows,
            None if self.target is None else self.target.narrow(1, start, size),
            tuple([reach.cut(start, size) for reach in self.reaches]),
            0 if first else self.prefix,
        )

    def pick(self, indices: Int[Tensor, " m"]) -> "Located":
        """Take what is said of some rows.

        Args:
            indices: (m,) of the rows.

        Returns:
            What the signals say of these rows alone; which rows they reach is another question then.
        """
        return Located(
            None if self.added is None else self.added.index_select(1, indices),
            None if self.rotation is None else self.rotation.pick(indices),
            self.rows,
            None if self.target is None else self.target.index_select(1, indices),
        )
