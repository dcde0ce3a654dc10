"""What the position signals say of every step of an order, computed once for a whole sequence."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vqgen.prior.signals import Rotation


@dataclass(frozen=True)
class Located:
    """An order as the prior sees it.

    Attributes:
        added: (b, n, d), or (1, n, d) for an order that all images share, to add to the inputs; None without additive
            signals.
        rotation: of the queries and keys of all n steps; None without a rotary signal.
    """

    added: Float[Tensor, "b n d"] | None
    rotation: Rotation | None

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
        added, rotation = self.added, self.rotation
        steps = added.shape[1] if added is not None else rotation.cosine.shape[1] if rotation is not None else 0
        if first + count > steps:
            raise ValueError(
                f"expected positions for at least {first + count} steps, got {steps}; pass the whole order, not a part"
            )
        return Located(
            None if added is None else added.narrow(1, first, count),
            None if rotation is None else rotation.cut(first, count),
        )
