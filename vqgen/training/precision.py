"""The precision that trains fastest on this machine, by trying."""

import statistics
import time
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

Precision = Literal["32-true", "bf16-mixed"]


def fastest_precision(*, repeats: int = 5) -> Precision:
    """Whether convolutions train faster in bf16 autocast or in fp32 on this machine.

    Processors differ: with matrix instructions for bf16, autocast is several times as fast, without them, slower than
    fp32. A block of two convolutions forward and backward, tried a few times in each, decides; it takes about a second.

    Args:
        repeats: how often each is timed; medians are compared.

    Returns:
        A value for the Trainer's `precision`.
    """
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    block = nn.Sequential(
        nn.Conv2d(64, 64, 3, padding=1), nn.GroupNorm(32, 64), nn.SiLU(), nn.Conv2d(64, 64, 3, padding=1)
    )
    block = block.to(memory_format=torch.channels_last)
    images = torch.randn(16, 64, 16, 16).contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = F.mse_loss(block(images).float(), images)
        torch.autograd.backward(loss)
        return time.perf_counter() - start

    timings: dict[bool, list[float]] = {True: [], False: []}
    for repeat in range(repeats + 1):
        for enabled in timings:
            taken = seconds(enabled)
            if repeat:  # the first of each warms up
                timings[enabled].append(taken)
    return "bf16-mixed" if statistics.median(timings[True]) < statistics.median(timings[False]) else "32-true"
