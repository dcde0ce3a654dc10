"""A prior with a segment memory that looks back further, or less far, than it was trained to."""

import copy

from vqgen.attention import Attention, SegmentAttention
from vqgen.prior.signals import RelativeAttention
from vqgen.prior.transformer import Prior


def with_memory(prior: Prior, steps: int) -> Prior:
    """View a prior whose attention has a segment memory with a memory of another length.

    Nothing is learned about distance that a longer memory would contradict: signals say where cells lie, not how long
    ago they were visited. So a prior can be trained with a short memory, where a step is cheap, and score and draw with
    a longer one.

    Args:
        prior: one with `SegmentAttention` in some layers.
        steps: the memory, >= 0; with h * w the view attends to everything.

    Returns:
        A prior that shares the weights. The given one is unchanged.

    Raises:
        ValueError: when no layer has a segment memory, or steps is below 0.

    Example:
        >>> prior = Prior(16, height=4, width=4, dim=8, depth=2, heads=1, attention=SegmentAttention(4, memory=4))
        >>> longer = with_memory(prior, 16)
        >>> longer.attentions[0].memory, prior.attentions[0].memory, longer.head is prior.head
        (16, 4, True)

    Source: Dai et al., Transformer-XL (1901.02860), section 4.1: models look back further when they are evaluated.
    """
    attentions = tuple([_remembering(attention, steps) for attention in prior.attentions])
    if all(new is old for new, old in zip(attentions, prior.attentions, strict=True)):
        raise ValueError("expected a prior with SegmentAttention in some layers, got one without a segment memory")
    view = copy.copy(prior)
    own = {name: value.copy() for name, value in vars(prior).items() if name in ("_modules", "metadata")}
    given = None if prior.attention is None else tuple([_remembering(each, steps) for each in prior.attention])
    vars(view).update(own, attentions=attentions, attention=given)
    return view


def _remembering(attention: Attention, steps: int) -> Attention:
    if isinstance(attention, SegmentAttention):
        return SegmentAttention(attention.segment, steps)
    if isinstance(attention, RelativeAttention) and attention.remembers:
        return RelativeAttention(_remembering(attention.inner, steps), attention.signal)
    return attention
