"""Several patterns as one."""

from collections.abc import Sequence

from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class Either(Pattern):
    """A query sees what at least one of several patterns allows.

    Args:
        patterns: at least one, all over cells or all over steps.
        kernel: see `Pattern`; that of the patterns does not matter.

    Raises:
        ValueError: when there is none, or they are over different things.

    Example:
        >>> from vqgen.attention import ColumnAttention, RowAttention
        >>> Either(patterns=(RowAttention(), ColumnAttention())).table(height=3, width=3)[4].view(3, 3).int()
        tensor([[0, 1, 0],
                [1, 1, 1],
                [0, 1, 0]], dtype=torch.int32)
    """

    def __init__(self, *, patterns: Sequence[Pattern], kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        spaces = sorted({pattern.space for pattern in patterns})
        if len(spaces) != 1:
            raise ValueError(
                f"patterns must be at least one, all over cells or all over steps, got {len(patterns)} over "
                f"{' and '.join(spaces) or 'nothing'}; alternate them over layers instead"
            )
        self.patterns = tuple(patterns)
        self.space = spaces[0]  # type: ignore[misc]  # that of the patterns, not of the class

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys that one of them allows."""
        seen = self.patterns[0].allowed(query, key, height=height, width=width)
        for pattern in self.patterns[1:]:
            seen = seen | pattern.allowed(query, key, height=height, width=width)
        return seen

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Those of all patterns."""
        return tuple([part for pattern in self.patterns for part in pattern.parts(height=height, width=width)])
