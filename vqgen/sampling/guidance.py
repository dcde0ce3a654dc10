"""Classifier-free guidance: push a draw towards what the condition changed, by a scale that may grow."""

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor


def _constant(progress: float, power: float) -> float:
    return 1.0


def _linear(progress: float, power: float) -> float:
    return progress


def _cosine(progress: float, power: float) -> float:
    return (1.0 - math.cos(math.pi * progress)) / 2.0


def _power(progress: float, power: float) -> float:
    return _cosine(progress**power, power)


GUIDANCE_RAMPS: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "power": _power,
}
"""Shapes of a ramp: from progress in [0, 1], and a power, to the part of the guidance that is on, in [0, 1]."""


def guidance_ramp(name: str, scale: float, *, power: float = 2.75) -> Callable[[float], float]:
    """Make a guidance scale that rises from 1, no guidance, to ``scale`` as the sequence grows.

    ``scale(progress) = 1 + (scale - 1) * ramp(progress)`` with ``progress = t / (n - 1)``. The first codes settle what
    the image is and want variety; the later ones fill it in and bear a firm hand.

    Args:
        name: ``constant`` (the full scale throughout), ``linear`` (p), ``cosine`` ((1 - cos(pi p)) / 2), or ``power``,
            a later cosine ((1 - cos(pi p^power)) / 2).
        scale: where the ramp ends; 1 means no guidance.
        power: exponent of the shape ``power``, > 0; the others ignore it.

    Returns:
        A function from progress in [0, 1] to the scale, for the ``guidance`` argument of the samplers. So is any
        function of your own.

    Raises:
        ValueError: when the name is unknown or the power is not positive.

    Example:
        >>> ramp = guidance_ramp("linear", 5.0)
        >>> ramp(0.0), ramp(0.5), ramp(1.0)
        (1.0, 3.0, 5.0)

    Source: linear, Chang et al., Muse (2301.00704), section 2.7; cosine of a power, Gao et al., MDTv2 (2303.14389),
    with the exponent that Yu et al. (2411.00776) use.
    """
    if name not in GUIDANCE_RAMPS:
        raise ValueError(f"guidance ramp must be one of {', '.join(GUIDANCE_RAMPS)}, got {name!r}")
    if power <= 0.0:
        raise ValueError(f"power must be > 0, got {power}")
    ramp = GUIDANCE_RAMPS[name]
    return lambda progress: 1.0 + (scale - 1.0) * ramp(progress, power)


def guide(
    conditional: Float[Tensor, "*batch k"],
    unconditional: Float[Tensor, "*batch k"],
    scale: float | Float[Tensor, "..."],
) -> Float[Tensor, "*batch k"]:
    """Combine conditional and unconditional logits: ``unconditional + scale * (conditional - unconditional)``.

    A scale of 1 gives the conditional distribution, 0 the unconditional one, and more than 1 sharpens what the
    condition changed. Some papers count from there, with ``w = scale - 1``.

    Args:
        conditional: (..., k) logits given the condition.
        unconditional: (..., k) logits given none.
        scale: any number, usually from 1 to 10; or several, of a shape that broadcasts, such as (b, 1, 1).

    Returns:
        (..., k) guided logits.

    Example:
        >>> import torch
        >>> guide(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 3.0)
        tensor([[4., 0.]])

    Source: Ho and Salimans, Classifier-Free Diffusion Guidance (2207.12598), equation 6 with w = scale - 1.
    """
    return unconditional + scale * (conditional - unconditional)
