"""Order policies: which order each sample of a training batch is seen in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.permutation import check_grid
from vqgen.orders.scan_order import ScanOrder, scan_order

RANDOM_PER_SAMPLE = "random-per-sample"


class OrderPolicy(ABC):
    """Gives the positions for a batch: ``policy.positions(batch_size, generator)``, shape (b, n).

    A prior is trained under a policy and is told the positions, so one prior class serves every policy. Abstract;
    write a subclass to say another way to choose.

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
    def describe(self) -> dict[str, str | int]:
        """Say in JSON-able values which policy this is; :func:`order_policy_from_description` reads it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, height={self.height}, width={self.width})"


class FixedOrder(OrderPolicy):
    """Every sample in one order.

    Args:
        order: the order.

    Example:
        >>> FixedOrder(scan_order("snake", height=2, width=2)).positions(2).tolist()
        [[0, 1, 3, 2], [0, 1, 3, 2]]
    """

    fixed: ScanOrder

    def __init__(self, order: ScanOrder) -> None:
        super().__init__(order.name, height=order.height, width=order.width, fixed=order)
        self.order = order

    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Give the one order's positions for every sample, as a view without copies.

        Args:
            batch_size: b.
            generator: nothing is drawn; its device is where the positions go.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one). Do not write into them.
        """
        return self.order.positions.to(_device_of(generator)).expand(batch_size, -1)  # n -> b n

    def describe(self) -> dict[str, str | int]:
        """Say which order it is: the order's own description."""
        return self.order.describe()


class RandomPerSample(OrderPolicy):
    """Every sample in an order of its own, uniformly random, new at every call: for priors that take any order.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> positions = RandomPerSample(height=2, width=2).positions(3, torch.Generator().manual_seed(0))
        >>> positions.sort(dim=1).values.tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]

    Source:
        Pannatier et al., sigma-GPT, arXiv:2404.09562; Pang et al., RandAR, arXiv:2412.01827.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__(RANDOM_PER_SAMPLE, height=height, width=width)

    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Draw one permutation per sample.

        Args:
            batch_size: b.
            generator: what to draw from; without one, torch's own generator for the CPU.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one).
        """
        shape = (batch_size, self.height * self.width)
        # Sorting by random keys makes every permutation equally likely; double precision makes ties negligible.
        keys = torch.rand(shape, generator=generator, dtype=torch.float64, device=_device_of(generator))
        return keys.argsort(dim=1)

    def describe(self) -> dict[str, str | int]:
        """Say name, height and width."""
        return {"name": self.name, "height": self.height, "width": self.width}


def order_policy(name: str, *, height: int, width: int, seed: int = 0) -> OrderPolicy:
    """Build a policy by name.

    Args:
        name: a key of ORDERS for that order always, or "random-per-sample".
        height: rows of the code grid, >= 1.
        width: columns of the code grid, >= 1.
        seed: for fixed orders that are drawn; "random-per-sample" draws from the generator of each call instead.

    Returns:
        The policy.

    Raises:
        ValueError: if the name is unknown or the grid is refused.

    Example:
        >>> order_policy("hilbert", height=4, width=4).fixed.name
        'hilbert'
        >>> order_policy("random-per-sample", height=4, width=4).fixed is None
        True
    """
    if name == RANDOM_PER_SAMPLE:
        return RandomPerSample(height, width)
    return FixedOrder(scan_order(name, height=height, width=width, seed=seed))


def order_policy_from_description(description: Mapping[str, Any]) -> OrderPolicy:
    """Build the policy that a description names.

    Args:
        description: what a policy's ``describe`` gave.

    Returns:
        The policy.

    Raises:
        ValueError: if the order is unknown or has changed since.

    Example:
        >>> policy = order_policy("random-per-sample", height=2, width=3)
        >>> order_policy_from_description(policy.describe())
        RandomPerSample('random-per-sample', height=2, width=3)
    """
    if description.get("name") == RANDOM_PER_SAMPLE:
        return RandomPerSample(description["height"], description["width"])
    return FixedOrder(ScanOrder.from_description(description))


def _device_of(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
