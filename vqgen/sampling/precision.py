"""A prior that draws in another precision than it was trained in."""

import copy
import warnings
from typing import TypeVar

import torch

from vqgen.attention import Int8Linear, int8_hindrance, with_layers
from vqgen.prior import MaskedPrior, Prior

AnyPrior = TypeVar("AnyPrior", bound=Prior | MaskedPrior)

PRECISIONS = ("fp32", "bf16", "int8")
"""``fp32``: as trained. ``bf16``: weights and layers. ``int8``: the products of linear layers, on the CPU."""


def in_precision(prior: AnyPrior, precision: str) -> AnyPrior:
    """A prior for sampling in less precision: fewer bytes to read for each code that is drawn.

    Drawing one image is bound by reading weights. int8 reads a quarter of fp32's bytes; bf16 half, which is meant for
    GPUs and processors that multiply it (see ``benchmarks/README.md`` and ``vqgen/sampling/README.md``).
    Logits are filtered and drawn from in fp32 in any case. Where 8-bit products are not to be had, int8 falls back to
    bf16 and warns.

    Args:
        prior: as trained, on the device it will sample on; it is not changed.
        precision: one of `PRECISIONS`.

    Returns:
        The prior itself for fp32; else a copy in evaluation mode, that of int8 with its parameters shared.

    Raises:
        ValueError: when the precision is unknown or the prior is a compiled copy.

    Example:
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)
        >>> in_precision(prior, "bf16").head.weight.dtype, prior.head.weight.dtype
        (torch.bfloat16, torch.float32)
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "fp32":
        return prior
    if isinstance(prior, Prior) and prior.compiled:
        raise ValueError("expected a prior that is not compiled yet: choose the precision first, then compile")
    if precision == "int8":
        hindrance = int8_hindrance(prior.code_embedding.weight.device)
        if hindrance is None:
            return with_layers(prior, Int8Linear)
        warnings.warn(f"drawing in bf16 in place of int8: {hindrance}", stacklevel=2)
    rounded = copy.deepcopy(prior)
    rounded.to(torch.bfloat16).eval()
    return rounded
