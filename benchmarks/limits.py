"""What this machine can do at most, for the programs that say how far from it they are."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def product_rate(
    *, rows: int, narrow: int, wide: int, dtype: torch.dtype = torch.float32, device: str = "cpu", repeats: int = 7
) -> float:
    """Operations per second of a product (rows, narrow) x (narrow, wide); the best of several tries, on a CPU by either
    of torch's libraries: a linear layer is MKL's in fp32, a convolution of one place oneDNN's.

    A multiplication and an addition are two operations.
    """
    x, weight = torch.randn(rows, narrow).to(device, dtype), torch.randn(wide, narrow).to(device, dtype)
    ways: list[Callable[[], Tensor]] = [lambda: F.linear(x, weight)]
    if device == "cpu":
        ways += [lambda: F.conv2d(x[..., None, None], weight[..., None, None])]
    seconds = []
    for _ in range(repeats):
        for way in ways:
            synchronise(device)
            start = time.perf_counter()
            way()
            synchronise(device)
            seconds.append(time.perf_counter() - start)
    return 2 * rows * narrow * wide / min(seconds)


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was asked; nothing on a CPU."""
    if device != "cpu":
        torch.accelerator.synchronize()
