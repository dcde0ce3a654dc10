"""Attention along a pattern through PyTorch's FlexAttention, whose kernels skip blocks in which no pair meets."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vqgen.attention.base import Places
from vqgen.attention.predicate import Predicate


@dataclass(frozen=True)
class FlexPlan:
    """What FlexAttention needs to know of a pass."""

    @classmethod
    def of(cls, pattern: Predicate, places: Places) -> FlexPlan:
        """Prepare a pass."""
        raise NotImplementedError


def flex_pattern_attention(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads m e"],
    values: Float[Tensor, "b heads m e"],
    plan: FlexPlan,
) -> Float[Tensor, "b heads m e"]:
    """Attend along a plan."""
    raise NotImplementedError
