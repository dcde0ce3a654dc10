"""Noise that belongs to an image: the same for (seed, index) whatever else is drawn beside it."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_WORD = 2**64


def image_uniforms(
    seed: int, *, first_index: int, batch_size: int, steps: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "b n"]:
    """Draw one uniform number per image and step.

    Each image has a generator of its own, keyed by (seed, index). It is Philox, a counter-based generator with a key of
    128 bits, because torch's CPU generator keeps only 32 bits of its seed: among 50,000 images two would likely share
    all their noise.

    Args:
        seed: any integer.
        first_index: index of the first image, >= 0.
        batch_size: b, number of images, with indices ``first_index .. first_index + b - 1``.
        steps: n, numbers per image; a longer run begins with the same numbers.
        device: where the numbers go; they are drawn on the CPU, so that every device sees the same.

    Returns:
        (b, n) numbers in [0, 1), float64 (float32 on devices that have no float64).

    Raises:
        ValueError: when first_index is negative.

    Example:
        >>> import torch
        >>> both = image_uniforms(7, first_index=3, batch_size=2, steps=5)
        >>> bool(torch.equal(both[1:], image_uniforms(7, first_index=4, batch_size=1, steps=5)))
        True

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    if first_index < 0:
        raise ValueError(f"first_index must be >= 0, got {first_index}")
    keys = (np.array([seed % _WORD, first_index + image], dtype=np.uint64) for image in range(batch_size))
    rows = [np.random.Generator(np.random.Philox(key=key)).random(steps) for key in keys]
    device = torch.device(device)
    uniforms = torch.from_numpy(np.stack(rows))
    if device.type == "mps":
        # Rounding to nearest could reach 1; the largest float32 below it keeps the draw inside the last code.
        return uniforms.float().clamp_max(1.0 - 2.0**-24).to(device)
    return uniforms.to(device)
