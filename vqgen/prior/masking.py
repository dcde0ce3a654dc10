"""How many cells a training step hides: mask ratios by name, spread evenly over a batch."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def _cosine(uniform: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.cos(math.pi / 2.0 * uniform)


def _uniform(uniform: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return 1.0 - uniform


MASKINGS: dict[str, Callable[[Float[Tensor, " b"]], Float[Tensor, " b"]]] = {"cosine": _cosine, "uniform": _uniform}
"""Mask ratios by name: from uniform numbers in [0, 1) to the share of cells to hide, in (0, 1]."""


def masked_counts(
    batch_size: int, cells: int, masking: str = "cosine", generator: torch.Generator | None = None
) -> Int[Tensor, " b"]:
    """Draw how many cells of each image to hide.

    One uniform number u serves the batch: image i takes ``frac(u + i / b)``, so each image's number is uniform, and
    together they cover [0, 1) evenly, which makes the loss of a batch vary less.

    Args:
        batch_size: b.
        cells: n.
        masking: a name from `MASKINGS`: ``cosine``, ratio cos(pi u / 2), hides most cells most of the time, as most
            steps of sampling find them (its density is the arccos density 2 / pi / sqrt(1 - r^2)); ``uniform``, any
            number of cells as often as any other.
        generator: what to draw from; without one, torch's own generator for the CPU.

    Returns:
        (b,) int64 numbers from 1 to n, on the generator's device (the CPU without one).

    Raises:
        ValueError: for another name.

    Example:
        >>> sorted(masked_counts(4, 8, "uniform").diff().abs().unique().tolist())[:1]
        [2]

    Source: Chang et al., MaskGIT (2202.04200), section 3.3, for the cosine; even coverage of a batch, Kingma et al.,
    Variational Diffusion Models (2107.00630), appendix I.1.
    """
    if masking not in MASKINGS:
        raise ValueError(f"masking must be one of {', '.join(MASKINGS)}, got {masking!r}")
    device = torch.device("cpu") if generator is None else generator.device
    start = torch.rand((), generator=generator, dtype=torch.float64, device=device)
    even = torch.arange(batch_size, dtype=torch.float64, device=device) / batch_size
    ratio = MASKINGS[masking]((start + even) % 1.0)
    return (ratio * cells).ceil().long().clamp(1, cells)
