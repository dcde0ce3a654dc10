"""Order policies: which order each sample of a training batch is seen in."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.permutation import check_grid
from vqgen.orders.scan_order import ScanOrder, scan_order


class OrderPolicy(ABC):
    """Gives the positions for a batch: ``policy.positions(batch_size, generator)``, shape (b, n).

    A prior is trained under a policy and is told the positions, so one prior class serves every policy. A policy that
    changes in the course of training is a function of the step: training draws from ``policy.at(step)``. It keeps no
    count of its own, so a resumed run has nothing to restore. By itself it stands for what it becomes in the end.

    Abstract; write a subclass to say another way to choose.

    Args:
        name: what the policy is called.
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        fixed: the order that every sample has, or None when they differ.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> class Backwards(OrderPolicy):
        ...     def positions(self, batch_size, generator=None):
        ...         return torch.arange(self.height * self.width).flip(0).expand(batch_size, -1)
        ...     def describe(self):
        ...         return {"name": self.name, "height": self.height, "width": self.width}
        >>> Backwards("backwards", height=1, width=3).positions(2).tolist()
        [[2, 1, 0], [2, 1, 0]]
    """

    def __init__(self, name: str, *, height: int, width: int, fixed: ScanOrder | None = None) -> None:
        check_grid(height, width)
        self.name = name
        self.height = height
        self.width = width
        self.fixed = fixed

    @abstractmethod
    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Give the raster index visited by each sample at each step.

        Args:
            batch_size: b.
            generator: what random policies draw from; without one, torch's own generator for the CPU.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one). Do not write into them.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Say in JSON-able values which policy this is; :func:`order_policy_from_description` reads it."""

    def at(self, step: int) -> "OrderPolicy":
        """Give the policy in force at a training step; only annealed ones change.

        Args:
            step: optimizer steps done, >= 0.

        Returns:
            A policy that does not depend on the step any more.
        """
        return self

    @property
    def orders(self) -> tuple[ScanOrder, ...]:
        """The orders that samples are seen in again and again, the most frequent first; none for random ones."""
        return () if self.fixed is None else (self.fixed,)

    @property
    def takes_any(self) -> bool:
        """Whether samples are seen in orders drawn from all, so that a prior learns to take any."""
        return self.fixed is None

    @property
    def default(self) -> ScanOrder:
        """The order to draw in when none is asked for: the most frequent, or raster where no order comes twice."""
        return self.orders[0] if self.orders else scan_order("raster", height=self.height, width=self.width)

    def knows(self, order: ScanOrder) -> bool:
        """Say whether a prior that was trained under this policy can be asked to take an order.

        Args:
            order: the order asked for.

        Returns:
            True if it is one of :attr:`orders`, by its positions, or if the policy takes any order of this grid.
        """
        if (order.height, order.width) != (self.height, self.width):
            return False
        return self.takes_any or any(torch.equal(order.positions, known.positions) for known in self.orders)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, height={self.height}, width={self.width})"


def device_of(generator: torch.Generator | None) -> torch.device:
    """Where a policy puts its positions: on the generator's device, on the CPU without one.

    Args:
        generator: what the policy draws from, or None.

    Returns:
        The device.

    Example:
        >>> device_of(None)
        device(type='cpu')
    """
    return torch.device("cpu") if generator is None else generator.device


def bracketed(name: str) -> str:
    """A policy's name as a part of another one's: in brackets if it has parts itself.

    Args:
        name: of the policy.

    Returns:
        The name, in brackets where needed.

    Example:
        >>> bracketed("hilbert"), bracketed("mixture:raster=1,hilbert=1")
        ('hilbert', '(mixture:raster=1,hilbert=1)')
    """
    return f"({name})" if name.startswith(("mixture:", "annealed:")) else name
