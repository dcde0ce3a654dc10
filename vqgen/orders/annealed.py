"""The policy that goes over from one policy to another in the course of training."""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.mixture import MixtureOrder
from vqgen.orders.policy import OrderPolicy, bracketed
from vqgen.orders.scan_order import ScanOrder

ANNEALED = "annealed"


class AnnealedOrder(OrderPolicy):
    """First one policy, in the end another; in between each sample draws which, with a share that falls linearly.

    A sample is seen under `start` with probability r(step) and under `target` otherwise, with
    ``r = 1`` up to step `begin`, ``(end - step) / (end - begin)`` after it, and 0 from step `end` on.

    Training draws from ``at(step)``: `start`, a mixture of both, or `target`. So a prior saved before `end` records the
    mixture it was trained under at last, and one saved after it records the target, and is tied to it if that is a
    fixed order. By itself, without a step, the policy stands for its target.

    Args:
        start: the policy up to step `begin`.
        target: the policy from step `end` on, on the same grid.
        begin: optimizer steps before the change, >= 0.
        end: optimizer steps until it is complete, >= `begin`.

    Raises:
        ValueError: if the grids differ, or the steps are out of range.

    Example:
        >>> from vqgen.orders import FixedOrder, RandomPerSample, scan_order
        >>> hilbert = FixedOrder(scan_order("hilbert", height=2, width=2))
        >>> policy = AnnealedOrder(RandomPerSample(2, 2), hilbert, begin=100, end=300)
        >>> [policy.at(step).name for step in (100, 150, 300)]
        ['random-per-sample', 'mixture:random-per-sample=0.75,hilbert=0.25', 'hilbert']

    Source:
        Yu et al., Randomized Autoregressive Visual Generation (RAR), arXiv:2411.00776, section 3.2: from random orders
        to raster, between epochs 200 and 300 of 400.
    """

    def __init__(self, start: OrderPolicy, target: OrderPolicy, begin: int, end: int) -> None:
        if (start.height, start.width) != (target.height, target.width):
            raise ValueError(
                f"start and target must share one grid, got {start.height} x {start.width} and {target.height} x "
                f"{target.width}; build both for one"
            )
        if not 0 <= begin <= end:
            raise ValueError(
                f"annealing must begin at a step >= 0 and end no sooner, got begin={begin}, end={end}; "
                "count optimizer steps"
            )
        span = f"@{begin}-{end}"
        super().__init__(
            f"{ANNEALED}:{bracketed(start.name)}->{bracketed(target.name)}{span}",
            height=target.height,
            width=target.width,
            fixed=target.fixed,
        )
        self.start = start
        self.target = target
        self.begin = begin
        self.end = end

    def share(self, step: int) -> float:
        """The probability r that a sample is still seen under `start`.

        Args:
            step: optimizer steps done, >= 0.

        Returns:
            r in [0, 1].
        """
        if step >= self.end:
            return 0.0
        return min(1.0, (self.end - step) / (self.end - self.begin)) if step > self.begin else 1.0

    def at(self, step: int) -> OrderPolicy:
        """Give what is in force at a training step.

        Args:
            step: optimizer steps done, >= 0.

        Returns:
            `start`, a mixture of `start` and `target`, or `target`, each as it is at that step.
        """
        share = self.share(step)
        if share == 1.0:
            return self.start.at(step)
        if share == 0.0:
            return self.target.at(step)
        return MixtureOrder([self.start.at(step), self.target.at(step)], [share, 1.0 - share])

    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Give the target's positions; in training ask ``at(step)`` instead.

        Args:
            batch_size: b.
            generator: what the target draws from; without one, torch's own generator for the CPU.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one). Do not write into them.
        """
        return self.target.positions(batch_size, generator)

    @property
    def orders(self) -> tuple[ScanOrder, ...]:
        """The target's."""
        return self.target.orders

    @property
    def takes_any(self) -> bool:
        """Whether the target takes any order."""
        return self.target.takes_any

    def describe(self) -> dict[str, Any]:
        """Say both policies' descriptions and the steps between which it changes."""
        return {
            "policy": ANNEALED,
            "name": self.name,
            "height": self.height,
            "width": self.width,
            "start": self.start.describe(),
            "target": self.target.describe(),
            "begin": self.begin,
            "end": self.end,
        }
