"""What every sampler is asked for alike: how many images, what is known of them, and whether it fits together."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.prior import Prior

Guidance = float | Callable[[float], float]
"""Scale of classifier-free guidance, constant or as a function of the progress in [0, 1]."""


def batch_size_of(given: int | None, positions: Tensor | None, condition: Tensor | None, prefix: Tensor | None) -> int:
    """Find out how many images to draw from whatever tells it.

    Args:
        given: the number itself, or None.
        positions: (b, n) orders, or (n,) or None, which do not tell.
        condition: (b,) labels, or None.
        prefix: (b, m) known codes, or None.

    Returns:
        b, >= 1.

    Raises:
        ValueError: when nothing tells, or not all say the same.

    Example:
        >>> batch_size_of(None, torch.arange(4), torch.tensor([0, 3]), None)
        2
    """
    sizes = {"batch_size": given, "positions": None if positions is None or positions.ndim == 1 else len(positions)}
    sizes["condition"] = None if condition is None else condition.shape[0]
    sizes["prefix"] = None if prefix is None else prefix.shape[0]
    told = {name: size for name, size in sizes.items() if size is not None}
    if not told:
        raise ValueError(
            "expected to be told how many images to draw, got neither a batch nor a number; pass batch_size="
        )
    if len(set(told.values())) > 1:
        raise ValueError(
            "expected one number of images, got " + ", ".join(f"{size} from {name}" for name, size in told.items())
        )
    if min(told.values()) < 1:
        raise ValueError("batch_size must be >= 1, got 0")
    return next(iter(told.values()))


def begin_sequence(
    prior: Prior, prefix: Int[Tensor, "b m"] | None, *, batch_size: int, steps: int
) -> tuple[Int[Tensor, "b n"], int]:
    """Make room for the codes, and put the known ones there.

    Args:
        prior: whose codes they are, on the device they go to.
        prefix: (b, m) int64 codes of the first m steps, or None.
        batch_size: b.
        steps: n.

    Returns:
        (b, n) int64, and m; what comes after the first m codes is left to chance.

    Raises:
        ValueError: when the prefix is too long or holds codes that the prior does not know.

    Example:
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)
        >>> sequence, known = begin_sequence(prior, torch.tensor([[5, 7]]), batch_size=1, steps=6)
        >>> sequence[:, :known].tolist()
        [[5, 7]]
    """
    sequence = torch.empty(batch_size, steps, dtype=torch.int64, device=prior.code_embedding.weight.device)
    if prefix is None:
        return sequence, 0
    known = prefix.shape[1]
    if known > steps:
        raise ValueError(f"the prefix must have at most one code per step, got {known} codes for {steps} steps")
    if prefix.numel() > 0 and (int(prefix.min()) < 0 or int(prefix.max()) >= prior.codebook_size):
        raise ValueError(
            f"the prefix must hold codes from 0 to {prior.codebook_size - 1}, "
            f"got {int(prefix.min())} to {int(prefix.max())}; use codes of the tokenizer the prior was trained on"
        )
    sequence[:, :known] = prefix.to(sequence.device)
    return sequence, known


def guidance_scales(guidance: Guidance, starts: list[int], *, steps: int, condition: Tensor | None) -> list[float]:
    """Work out the scale of every pass: at progress t / (n - 1), where t is the number of codes known at its start.

    Args:
        guidance: a number, or a function of the progress.
        starts: t of every pass.
        steps: n.
        condition: labels, or None.

    Returns:
        One scale a pass.

    Raises:
        ValueError: when there is guidance and nothing to be guided by.

    Example:
        >>> guidance_scales(lambda progress: 1.0 + progress, [0, 1, 2], steps=3, condition=torch.tensor([0]))
        [1.0, 1.5, 2.0]
    """
    scales = [float(guidance(start / max(steps - 1, 1)) if callable(guidance) else guidance) for start in starts]
    if condition is None and any(scale != 1.0 for scale in scales):
        raise ValueError("guidance needs a condition to move towards, got none; pass condition=labels, or guidance=1.0")
    return scales
