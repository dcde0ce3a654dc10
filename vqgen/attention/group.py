"""Which keys a pass may see that takes in known steps and asks several questions about what comes next."""

import torch
from jaxtyping import Bool
from torch import Tensor


def visible_to_group(
    *, cached: int, committed: int, questions: int, device: torch.device | str = "cpu"
) -> Bool[Tensor, "m t"]:
    """Make the mask of a pass of ``m = committed + questions`` rows on top of ``cached`` ones.

    The committed rows follow each other: each sees the cache, itself, and those before it. The questions are all asked
    at the same place: each sees the cache, every committed row and itself, and none of the other questions.

    Args:
        cached: rows that were computed before, >= 0.
        committed: rows of this pass whose place in the sequence is settled, >= 0.
        questions: rows that stand beside each other after them, >= 1.
        device: where the mask goes.

    Returns:
        (m, t) for `dense_causal_attention`, with t = cached + m.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> visible_to_group(cached=1, committed=1, questions=2).int()
        tensor([[1, 1, 0, 0],
                [1, 1, 1, 0],
                [1, 1, 0, 1]], dtype=torch.int32)
    """
    if cached < 0 or committed < 0 or questions < 1:
        raise ValueError(
            "cached and committed must be >= 0 and questions >= 1, "
            f"got cached={cached}, committed={committed}, questions={questions}"
        )
    rows, before = committed + questions, cached + committed
    visible = torch.ones(rows, cached + rows, dtype=torch.bool, device=device).tril(diagonal=cached)
    visible[committed:, before:] = torch.eye(questions, dtype=torch.bool, device=device)
    return visible
