"""A bound on the likelihood of codes under a masked prior, which has no exact one."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.metrics.likelihood import Likelihood
from vqgen.prior import MaskedPrior
from vqgen.sampling import image_uniforms


@dataclass(frozen=True)
class LikelihoodBound(Likelihood):
    """An upper bound on the negative log-likelihood of a batch of code grids, in the shape of a `Likelihood`.

    Attributes:
        passes: partly hidden views of each image that it was estimated from.
    """

    passes: int = 1


def likelihood_bound(
    prior: MaskedPrior,
    codes: Int[Tensor, "b h w"],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    downsampling: int,
    channels: int = 3,
    depth: int = 1,
    passes: int = 16,
    seed: int = 0,
) -> LikelihoodBound:
    """Estimate what codes cost under a masked prior when they are drawn one by one in a random order.

    ``-log p(codes) <= E[sum_t -log p(code at positions[t] | codes at positions[:t])]``, the mean over all orders (see
    `MaskedPrior.nll`), which compares with the likelihood of a prior that takes any order. Each pass hides another
    number of cells, evenly spread from 1 to n, at random places: with as many passes as cells, or a multiple, every
    number comes up equally often. It says nothing of codes drawn several at a time, as `sample_masked` usually does.

    Args:
        prior: the prior; evaluated without dropout and left in the mode it was in.
        codes: (b, h, w) int64.
        condition: (b, ...) int64, -1 for none; or None.
        downsampling: pixels per side of a cell, the tokenizer's.
        channels: channels of the images.
        depth: codes a cell, the tokenizer's.
        passes: through the prior, >= 1; the estimate is without bias whatever their number, and varies less with more.
        seed: of what is hidden, which is the same for the i-th image of every call.

    Returns:
        The bound, on the prior's device; its nats per cell are what that cell costs on average over the orders.

    Raises:
        ValueError: when a size is below 1, or the grid is not the prior's.

    Example:
        >>> import torch
        >>> prior = MaskedPrior(16, height=2, width=3, dim=8, depth=1, heads=1)  # untrained: log(16) nats per code
        >>> bound = likelihood_bound(prior, torch.randint(16, (4, 2, 3)), downsampling=8, passes=6)
        >>> round(bound.nats_per_code, 4), bound.nats.shape
        (2.7726, torch.Size([4, 2, 3]))

    Source: Uria et al., A Deep and Tractable Density Estimator (1310.1757), equation 9; Hoogeboom et al.,
    Autoregressive Diffusion Models (2110.02037), equation 3.
    """
    if min(downsampling, channels, passes) < 1:
        raise ValueError(
            f"downsampling, channels and passes must be >= 1, got downsampling={downsampling}, channels={channels} and "
            f"passes={passes}"
        )
    cells, device = prior.height * prior.width, prior.mask.device
    numbers = image_uniforms(seed, first_index=0, batch_size=len(codes), steps=passes * cells + 1, device=device)
    even = (numbers[:, :1] + torch.arange(passes, device=device) / passes) % 1.0  # (b, passes) in [0, 1)
    counts = (even * cells).long().clamp_max(cells - 1) + 1
    ranks = numbers[:, 1:].view(-1, passes, cells).argsort(dim=2).argsort(dim=2)
    masked = ranks >= cells - counts[..., None]  # (b, passes, n)
    was_training = prior.training
    prior.eval()
    try:
        with torch.no_grad():
            nats = torch.zeros(len(codes), cells, dtype=numbers.dtype, device=device)
            for hidden, count in zip(masked.unbind(1), counts.unbind(1), strict=True):
                found = prior.nats(codes, hidden.view_as(codes), condition).flatten(1)
                nats += found.to(nats.dtype) * (cells / count)[:, None] / passes
    finally:
        prior.train(was_training)
    return LikelihoodBound(nats.view_as(codes), downsampling, channels, depth, passes)
