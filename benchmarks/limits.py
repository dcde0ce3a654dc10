"""What this machine can do at most, for the programs that say how far from it they are."""

import time

import torch
from torch.nn import functional as F


def product_rate(
    *, rows: int, narrow: int, wide: int, dtype: torch.dtype = torch.float32, device: str = "cpu", repeats: int = 7
) -> float:
    """Operations per second of a product (rows, narrow) x (narrow, wide); the best of several tries.

    A multiplication and an addition are two operations.
    """
    x, weight = torch.randn(rows, narrow).to(device, dtype), torch.randn(wide, narrow).to(device, dtype)
    seconds = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        F.linear(x, weight)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return 2 * rows * narrow * wide / min(seconds)


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was asked; nothing on a CPU."""
    if device != "cpu":
        torch.accelerator.synchronize()
