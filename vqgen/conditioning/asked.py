"""What somebody asks for, as the tensor that a conditioner takes."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.conditioning.base import NO_LABEL, Conditioner
from vqgen.conditioning.label import LabelConditioner
from vqgen.conditioning.text import TextConditioner

Asked = int | str | Sequence[int | str] | Int[Tensor, "..."] | None
"""A class by name or number, a prompt, one of them for each image, a condition as a tensor, or nothing."""


def condition_of(
    asked: Asked, count: int, conditioner: Conditioner, class_names: Sequence[str] = ()
) -> Int[Tensor, "b ..."] | None:
    """Make a condition of what is asked for.

    Args:
        asked: a class (name or number) or a prompt for all images, or one for each; for priors that are told something
            else, a tensor of it for each image, or of size 1 for all; None for nothing.
        count: b, number of images.
        conditioner: of the prior.
        class_names: names of the labels, or empty.

    Returns:
        What the conditioner takes, b of it, on the CPU or where the tensor was; None for nothing.

    Raises:
        ValueError: if it is nothing that the conditioner knows, or the number of conditions is not b.

    Example:
        >>> condition_of("cat", 2, LabelConditioner(2, dim=8), ("dog", "cat"))
        tensor([1, 1])
    """
    if asked is None:
        return None
    if conditioner.reads is None:
        raise ValueError("this prior was trained without classes; leave the condition out")
    if isinstance(asked, Tensor) and asked.ndim > 1:
        return _one_for_each(asked, count)
    if not isinstance(conditioner, (LabelConditioner, TextConditioner)):
        raise ValueError(
            f"this prior is told a grid for each image (a {type(conditioner).__name__}), got {asked!r}; pass a tensor "
            "(count, h, w) of its codes"
        )
    listed = asked.tolist() if isinstance(asked, Tensor) else asked
    values = [listed] * count if isinstance(listed, (int, str)) else list(listed)
    if len(values) != count:
        raise ValueError(f"expected one condition, or one for each of {count} images, got {len(values)}")
    if isinstance(conditioner, TextConditioner):
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            raise ValueError(f"this prior is told captions, got {values!r}; pass texts, such as 'red apple'")
        return conditioner.tokens(texts)
    return torch.tensor([_label(value, conditioner.num_classes, class_names) for value in values])


def _one_for_each(condition: Int[Tensor, "c ..."], count: int) -> Int[Tensor, "b ..."]:
    if len(condition) not in (1, count):
        raise ValueError(f"expected one condition, or one for each of {count} images, got {len(condition)}")
    return condition.expand(count, *condition.shape[1:])


def _label(value: int | str, num_classes: int, class_names: Sequence[str]) -> int:
    if isinstance(value, str) and value in class_names:
        return class_names.index(value)
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, int) and NO_LABEL <= value < num_classes:
        return value
    known = ", ".join(class_names) or f"0 to {num_classes - 1}"
    raise ValueError(f"unknown class {value!r}; expected one of: {known} (or -1 for none)")
