"""The policy that draws another policy for every sample."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.orders.policy import OrderPolicy, bracketed, device_of
from vqgen.orders.scan_order import ScanOrder

MIXTURE = "mixture"


class MixtureOrder(OrderPolicy):
    """Every sample in the order of a policy that is drawn for it: policy i with probability w_i / sum(w).

    A prior trained under it knows every order of its parts, and takes any order if one of them does.

    Args:
        policies: the parts, on one grid; at least one.
        weights: how often each is drawn, finite and >= 0, not all 0. They are kept normalised.

    Raises:
        ValueError: if there are no policies, their grids differ, or the weights are out of range or of another number.

    Example:
        >>> from vqgen.orders import FixedOrder, RandomPerSample, scan_order
        >>> mixture = MixtureOrder([FixedOrder(scan_order("snake", height=2, width=2)), RandomPerSample(2, 2)], [3, 1])
        >>> mixture.name, mixture.takes_any, mixture.default.name
        ('mixture:snake=0.75,random-per-sample=0.25', True, 'snake')
        >>> mixture.positions(2, torch.Generator().manual_seed(0)).sort(dim=1).values.tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3]]
    """

    def __init__(self, policies: Sequence[OrderPolicy], weights: Sequence[float]) -> None:
        if not policies or len(policies) != len(weights):
            raise ValueError(
                f"a mixture needs one weight for each of at least one policy, got {len(policies)} policies and "
                f"{len(weights)} weights; give as many weights as policies"
            )
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
            raise ValueError(f"weights of a mixture must be finite, >= 0 and not all 0, got {list(weights)}")
        grids = {(policy.height, policy.width) for policy in policies}
        if len(grids) > 1:
            raise ValueError(f"the policies of a mixture must share one grid, got {sorted(grids)}; build all for one")
        total = math.fsum(weights)
        # What is normalised already stays as it is to the last bit, so that a description can be read again and again.
        scale = 1.0 if math.isclose(total, 1.0, rel_tol=1e-12) else total
        self.policies = tuple(policies)
        self.weights = tuple(float(weight) / scale for weight in weights)
        drawn = [policy for policy, weight in zip(policies, weights, strict=True) if weight]
        name = ",".join(
            f"{bracketed(policy.name)}={weight:g}" for policy, weight in zip(policies, self.weights, strict=True)
        )
        super().__init__(
            f"{MIXTURE}:{name}",
            height=policies[0].height,
            width=policies[0].width,
            fixed=drawn[0].fixed if len(drawn) == 1 else None,
        )

    def positions(self, batch_size: int, generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
        """Draw a policy for each sample, and the sample's positions from it.

        Args:
            batch_size: b.
            generator: what to draw from; without one, torch's own generator for the CPU.

        Returns:
            Positions, shape (b, n), on the generator's device (the CPU without one).
        """
        device = device_of(generator)
        weights = torch.tensor(self.weights, dtype=torch.float64, device=device)
        drawn = torch.multinomial(weights.expand(batch_size, -1), 1, generator=generator).squeeze(1)  # b
        positions = torch.empty(batch_size, self.height * self.width, dtype=torch.int64, device=device)
        for index, policy in enumerate(self.policies):
            samples = (drawn == index).nonzero().squeeze(1)
            if len(samples):
                positions[samples] = policy.positions(len(samples), generator)
        return positions

    def at(self, step: int) -> OrderPolicy:
        """Give the mixture of what the parts are at a training step.

        Args:
            step: optimizer steps done, >= 0.

        Returns:
            The mixture, itself if no part changes.
        """
        policies = [policy.at(step) for policy in self.policies]
        if all(now is policy for now, policy in zip(policies, self.policies, strict=True)):
            return self
        return MixtureOrder(policies, self.weights)

    @property
    def orders(self) -> tuple[ScanOrder, ...]:
        """The orders of all parts that are ever drawn, those of the heaviest part first."""
        heaviest_first = sorted(zip(self.weights, self.policies, strict=True), key=lambda pair: -pair[0])
        return tuple(order for weight, policy in heaviest_first if weight for order in policy.orders)

    @property
    def takes_any(self) -> bool:
        """Whether a part that is ever drawn takes any order."""
        return any(weight and policy.takes_any for weight, policy in zip(self.weights, self.policies, strict=True))

    def describe(self) -> dict[str, Any]:
        """Say the parts' weights and descriptions."""
        parts = [
            {"weight": weight, "order": policy.describe()}
            for weight, policy in zip(self.weights, self.policies, strict=True)
        ]
        return {"policy": MIXTURE, "name": self.name, "height": self.height, "width": self.width, "parts": parts}
