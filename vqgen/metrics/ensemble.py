"""Likelihood of codes under several orders at once: of each order, and of the mixture of all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.metrics.likelihood import Likelihood, likelihood
from vqgen.orders import ScanOrder
from vqgen.prior import Prior


@dataclass(frozen=True)
class EnsembleLikelihood:
    """Negative log-likelihood of a batch of code grids under K orders, and under their mixture.

    ``p(codes) = 1/K sum_k p_k(codes)``: the order is drawn first, then the codes in it. The mixture is a model of its
    own, so its likelihood is exact too. Per image it costs no more than the orders do on average (Jensen's inequality),
    and between nothing and log K nats more than the best of them.

    Attributes:
        orders: names of the orders.
        members: what `likelihood` says under each, with its map per cell.
    """

    orders: tuple[str, ...]
    members: tuple[Likelihood, ...]

    @property
    def nats_per_image(self) -> Float[Tensor, " b"]:
        """(b,) -log of the mixture's probability of each whole grid."""
        each = torch.stack([member.nats_per_image for member in self.members])  # (K, b)
        return math.log(len(self.members)) - torch.logsumexp(-each, dim=0)

    @property
    def nats_per_code(self) -> float:
        """Of the mixture, mean over images and cells."""
        return float(self.nats_per_image.mean()) / self.members[0].nats[0].numel()

    @property
    def bits_per_dimension(self) -> float:
        """Bits of the codes under the mixture, per pixel and channel of the image."""
        return self.nats_per_code * self._bits_per_nat

    @property
    def nats_per_code_by_order(self) -> dict[str, float]:
        """Of each order by itself; orders of one name are numbered from the second on."""
        return dict(zip(self._labels(), (member.nats_per_code for member in self.members), strict=True))

    @property
    def nats_per_cell(self) -> dict[str, Float[Tensor, "h w"]]:
        """(h, w) of each order, mean over the images; the mixture has none, as it does not visit cells one by one."""
        return dict(zip(self._labels(), (member.nats_per_cell for member in self.members), strict=True))

    @property
    def gain(self) -> float:
        """Nats per code by which the mixture is better than its orders are on average, >= 0."""
        return sum(member.nats_per_code for member in self.members) / len(self.members) - self.nats_per_code

    @property
    def gain_in_bits_per_dimension(self) -> float:
        """The same gain in bits per pixel and channel of the image."""
        return self.gain * self._bits_per_nat

    @property
    def _bits_per_nat(self) -> float:
        first = self.members[0]
        return first.depth / math.log(2.0) / (first.channels * first.downsampling**2)

    def _labels(self) -> list[str]:
        before = [self.orders[:index].count(name) for index, name in enumerate(self.orders)]
        return [f"{name} {count + 1}" if count else name for name, count in zip(self.orders, before, strict=True)]


def ensemble_likelihood(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    orders: Sequence[ScanOrder],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    downsampling: int,
    channels: int = 3,
    depth: int = 1,
) -> EnsembleLikelihood:
    """Score code grids under several orders, in one forward pass for each.

    Args:
        prior: one that knows all the orders, as one trained on a random order per sample does.
        codes: (b, h, w) int64.
        orders: at least one, each of the prior's grid.
        condition: (b,) int64 labels, -1 for none; or None.
        downsampling: pixels per side of a cell, the tokenizer's.
        channels: channels of the images.
        depth: codes a cell, the tokenizer's.

    Returns:
        The likelihoods, on the prior's device.

    Raises:
        ValueError: when there is no order, or one does not fit the grid.

    Example:
        >>> from vqgen.orders import scan_order
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)  # untrained: all orders say log(16)
        >>> orders = [scan_order(name, height=2, width=3) for name in ("raster", "spiral-in")]
        >>> found = ensemble_likelihood(prior, torch.randint(16, (4, 2, 3)), orders, downsampling=8)
        >>> round(found.nats_per_code, 4), round(found.gain, 4), list(found.nats_per_cell)
        (2.7726, 0.0, ['raster', 'spiral-in'])

    Source: Jain et al., Locally Masked Convolution for Autoregressive Models (2006.12486), on averaging the
    probabilities of several orders.
    """
    if not orders:
        raise ValueError("expected at least one order, got none; pass names such as ('raster', 'hilbert'), or a number")
    members = tuple(
        likelihood(
            prior,
            order.scan(codes),
            order.positions.to(codes.device),
            condition,
            downsampling=downsampling,
            channels=channels,
            depth=depth,
        )
        for order in orders
    )
    return EnsembleLikelihood(tuple(order.name for order in orders), members)
