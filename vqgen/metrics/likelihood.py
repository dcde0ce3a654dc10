"""Exact log-likelihood of codes under a prior: as nats per code, as bits per dimension, and cell by cell."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.prior import Prior, check_positions


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of a batch of code grids.

    Attributes:
        nats: (b, h, w) float64, ``-log p`` of the code in each cell given the codes visited before it, in the layout of
            the grid.
        downsampling: pixels per side of a cell.
        channels: channels of the images.
        depth: codes a cell.
    """

    nats: Float[Tensor, "b h w"]
    downsampling: int
    channels: int
    depth: int = 1

    @property
    def nats_per_code(self) -> float:
        """Mean over images and cells; log(k) is what knowing nothing costs."""
        return float(self.nats.mean())

    @property
    def bits_per_dimension(self) -> float:
        """Bits of the codes per pixel and channel of the image; what the decoder leaves out is not in it."""
        return self.nats_per_code * self.depth / math.log(2.0) / (self.channels * self.downsampling**2)

    @property
    def nats_per_image(self) -> Float[Tensor, " b"]:
        """(b,) sums over the cells, -log p of each whole grid."""
        return self.nats.sum(dim=(1, 2))

    @property
    def nats_per_cell(self) -> Float[Tensor, "h w"]:
        """(h, w) mean over the images: where in the grid the prior is surprised."""
        return self.nats.mean(dim=0)


def likelihood(
    prior: Prior,
    sequence: Int[Tensor, "b n"],
    positions: Int[Tensor, "b n"] | Int[Tensor, " n"],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    downsampling: int,
    channels: int = 3,
    depth: int = 1,
) -> Likelihood:
    """Score code grids exactly, in one forward pass.

    ``-log p(codes) = -sum_t log p(code at positions[t] | codes at positions[:t])``: an autoregressive prior needs no
    bound. It is the likelihood under this order; other orders give other factors and, for a prior trained on several,
    other sums.

    Args:
        prior: the prior; evaluated without dropout and left in the mode it was in.
        sequence: (b, n) int64 codes in visiting order, n = h * w.
        positions: (b, n) or (n,) raster index of the cell visited at each step.
        condition: (b,) int64 labels, -1 for none; or None.
        downsampling: pixels per side of a cell, the tokenizer's.
        channels: channels of the images.
        depth: codes a cell, the tokenizer's; above 1 with a residual quantizer.

    Returns:
        The likelihood, on the prior's device.

    Raises:
        ValueError: when the sequence does not fill the grid, or a size is below 1.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)  # untrained: log(16) nats per code
        >>> result = likelihood(prior, torch.randint(16, (4, 6)), torch.randperm(6), downsampling=8)
        >>> round(result.nats_per_code, 4), result.nats.shape
        (2.7726, torch.Size([4, 2, 3]))

    Source: bits per dimension as in Theis et al., A note on the evaluation of generative models (1511.01844), section
    3.1.
    """
    cells = prior.height * prior.width
    if downsampling < 1 or channels < 1:
        raise ValueError(
            f"downsampling and channels must be >= 1, got downsampling={downsampling} and channels={channels}"
        )
    if sequence.shape[1] != cells or positions.shape[-1] != cells:
        raise ValueError(
            f"expected sequence and positions to fill the grid of {prior.height} x {prior.width} = {cells} cells, "
            f"got {sequence.shape[1]} codes and {positions.shape[-1]} positions"
        )
    check_positions(positions, cells=cells)
    was_training = prior.training
    prior.eval()
    try:
        with torch.no_grad():
            logits = prior(sequence, positions, condition)  # (b, n, k)
    finally:
        prior.train(was_training)
    nats = F.cross_entropy(logits.float().transpose(1, 2), sequence, reduction="none").double()
    grid = torch.empty_like(nats).scatter_(1, positions.expand_as(sequence), nats)  # (b, n) by step -> (b, n) by cell
    return Likelihood(grid.view(-1, prior.height, prior.width), downsampling, channels, depth)
