"""Attention by pattern: a row sees the rows before it whose places a predicate allows."""

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.attention.base import Attention, Places, Reach
from vqgen.attention.kernel import KERNELS
from vqgen.attention.pattern_reach import PatternReach, RowReach
from vqgen.attention.predicate import Predicate

SPACES = ("cells", "steps")


class Pattern(Predicate, Attention):
    """Base of the patterns: a row sees the start, and of the rows before it those whose content is allowed.

    ``softmax(q k^T / sqrt(e)) v`` over the start and over every key whose content was visited before the query's target
    and for which ``allowed(query, key)`` says yes, where query is the target and key the content. In space ``cells``
    both are raster indices, so that a pattern means the same under every order; in space ``steps`` both are steps of
    the order, t for a target that is visited at step t. What comes before the start is seen like the start. A row does
    not see itself unless its content is allowed.

    A pattern of one's own is a subclass with a method `allowed` of elementwise operations, and every constructor
    argument kept as an attribute; it travels with a saved prior, which is loaded by ``from_pretrained(folder,
    classes=[MyPattern])``. It is fast as it is; where no arrangement of the places makes all of it dense in blocks,
    `parts` takes it apart.

    Args:
        kernel: one of `KERNELS` for whole passes; None for what `choose_kernel` says.

    Attributes:
        space: ``cells`` or ``steps``.

    Raises:
        ValueError: when the kernel is unknown.

    Example:
        >>> import torch
        >>> class Above(Pattern):
        ...     def allowed(self, query, key, *, height, width):
        ...         return key == query - width
        >>> Above().table(height=2, width=2).int()
        tensor([[0, 0, 0, 0],
                [0, 0, 0, 0],
                [1, 0, 0, 0],
                [0, 1, 0, 0]], dtype=torch.int32)
    """

    def __init__(self, *, kernel: str | None = None) -> None:
        super().__init__()
        if kernel is not None and kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)} or None, got {kernel!r}")
        if self.space not in SPACES:
            raise ValueError(f"space must be one of {', '.join(SPACES)}, got {self.space!r}")
        self.kernel = kernel
        self.constants = {}

    def reach(self, places: Places) -> Reach:
        """Prepare a pass: what it needs is worked out when it is first needed, and shared by all layers."""
        return PatternReach(self, places)

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Attend along the pattern; see `Attention.forward`.

        Raises:
            ValueError: when there is no reach: a pattern cannot do without places.
        """
        if not isinstance(reach, (PatternReach, RowReach)):
            raise ValueError(
                f"{type(self).__name__} needs to know where rows sit, got {type(reach).__name__}; "
                "pass what its method `reach` made of the places"
            )
        return reach.attend(query, keys, values, training=torch.is_grad_enabled())
