"""The policy of one order for all."""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.policy import OrderPolicy, device_of
from vqgen.orders.scan_order import ScanOrder


class FixedOrder(OrderPolicy):
    """Every sample in one order.

    Args:
        order: the order.

    Example:
        >>> from vqgen.orders import scan_order
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
        return self.order.positions.to(device_of(generator)).expand(batch_size, -1)  # n -> b n

    def describe(self) -> dict[str, Any]:
        """Say which order it is: the order's own description."""
        return self.order.describe()
