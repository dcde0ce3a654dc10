"""What the position signals and the attention say of every step of an order, computed once for a whole sequence."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

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
    """

    added: Float[Tensor, "b rows d"] | None
    rotation: Rotation | None
    rows: int = 1
    target: Int[Tensor, "b rows"] | None = None
    reaches: tuple[Reach, ...] = ()

    def cut(self, first: int, count: int) -> "Located":
        """Take what is said of some steps.

        Args:
            first: the first of them.
            count: how many.

        Returns:
            The same for these steps alone.

        Raises:
            ValueError: when there are not so many steps.
        """
        added, rotation, rows = self.added, self.rotation, self.rows
        held = added.shape[1] if added is not None else rotation.cosine.shape[1] if rotation is not None else 0
        if (first + count) * rows > held:
            raise ValueError(
                f"expected positions for at least {first + count} steps, got {held // rows}; "
                "pass the whole order, not a part"
            )
        return Located(
            None if added is None else added.narrow(1, first * rows, count * rows),
            None if rotation is None else rotation.cut(first * rows, count * rows),
            rows,
            None if self.target is None else self.target.narrow(1, first * rows, count * rows),
            tuple([reach.cut(first * rows, count * rows) for reach in self.reaches]),
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
