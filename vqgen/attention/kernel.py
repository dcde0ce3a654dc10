"""The one place that chooses how a whole pass of a pattern is computed."""

import importlib.util

import torch

KERNELS = ("masked", "blocks", "flex")
"""A mask over all pairs, gathered blocks, or FlexAttention."""

FEW = 512
"""Below so many steps a mask over all pairs is as fast as anything else."""


def choose_kernel(device: torch.device, *, training: bool, steps: int) -> str:
    """Name the kernel of `KERNELS` for a whole pass.

    Args:
        device: of the queries.
        training: whether gradients are wanted.
        steps: n, of the pass.

    Returns:
        ``masked``, ``blocks`` or ``flex``.

    Example:
        >>> choose_kernel(torch.device("cpu"), training=True, steps=4096)
        'blocks'
    """
    if steps < FEW:
        return "masked"
    return "flex" if device.type == "cuda" and flex_is_available() else "blocks"


def flex_is_available() -> bool:
    """Whether FlexAttention can be compiled for a GPU here: it needs Triton."""
    return torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
