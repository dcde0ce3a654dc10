"""Which attention serves which layer, and what they make of a pass together."""

from collections.abc import Sequence

from vqgen.attention.base import Attention


def attention_of(attentions: Sequence[Attention], layer: int) -> Attention:
    """Name the attention of a layer when several take turns.

    Args:
        attentions: at least one.
        layer: index of the layer, >= 0.

    Returns:
        Number ``layer`` modulo their count.

    Example:
        >>> from vqgen.attention import DenseAttention
        >>> several = (DenseAttention(), DenseAttention())
        >>> attention_of(several, 3) is several[1]
        True
    """
    return attentions[layer % len(attentions)]


def check_attentions(attentions: Sequence[Attention], *, rows: int, turned: bool = False) -> tuple[Attention, ...]:
    """Refuse attentions that a prior cannot use.

    Args:
        attentions: those that take turns over its layers.
        rows: rows that its position signals lay each step out in.
        turned: whether a signal rotates queries and keys.

    Returns:
        The same, as a tuple.

    Raises:
        TypeError: when one is not an `Attention`.
        ValueError: when there is none, or one does not fit the signals, or holds parameters that layers would share.
    """
    if not attentions:
        raise ValueError("attention must name at least one attention, got none; pass None for dense attention")
    for attention in attentions:
        name = type(attention).__name__
        if not isinstance(attention, Attention):
            raise TypeError(f"attention must be of vqgen.attention.Attention objects, got {name}")
        if rows > 1 and attention.one_row_a_step:
            raise ValueError(
                f"{name} needs signals that lay each step out in one row, and these take {rows}; "
                "use other signals, such as target and rotary, or dense attention"
            )
        if turned and attention.shared_query_key:
            raise ValueError(
                f"{name} takes a row's query and key to be one vector, and rotary signals turn them by different "
                "cells; use signals that add to the input, such as target"
            )
        if next(attention.parameters(), None) is not None:
            raise ValueError(
                f"{name} holds parameters, which all its layers would share; build them in its method `layer`"
            )
    return tuple(attentions)
