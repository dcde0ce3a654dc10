"""Residual quantization: each depth quantizes what the ones before it left over."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.nearest_neighbour import NearestNeighbourQuantizer
from vqgen.quantizers.sim import SimVectorQuantizer


class ResidualQuantizer(Quantizer):
    """D quantizers in a row, each given the rest of the ones before it; latents are the sum (RQ-VAE, 2203.01941).

    `r_1 = z`, `r_{j+1} = r_j - sg[e_j]`, and `z + sg[sum_j e_j - z]` leaves: the gradient passes straight through once.
    The loss is the sum of the losses of all depths.

    A cell has D codes. They are extra steps of the sequence, not a code of their own product: the grid of codes is
    (b, D * h, w), depth 0 above depth 1 above depth 2. The raster order then draws the whole image coarsely before it
    refines, and every other order, signal and prior takes the taller grid as it takes any.

    `encode(lookup(codes))` is `codes` only where each codebook is fine against the one before: the code nearest to a
    sum need not be the one that the sum was made with.

    Args:
        quantizer: for the first depth, and copied for the others: `VectorQuantizer`, `EMAVectorQuantizer` or
            `SimVectorQuantizer`, without `l2_normalise` (a rest has a length that matters).
        depth: codes a cell D, >= 1.
        shared: one codebook for all depths, as in RQ-VAE; otherwise each has its own.

    Attributes:
        codebook_size, dim: as those of the quantizer.

    Raises:
        TypeError: if the quantizer is of another kind.
        ValueError: if `depth` is below 1, or the quantizer normalises.

    Example:
        >>> from vqgen.quantizers import EMAVectorQuantizer
        >>> quantizer = ResidualQuantizer(EMAVectorQuantizer(codebook_size=16, dim=4), depth=3)
        >>> codes = quantizer.encode(torch.randn(2, 4, 8, 8))
        >>> codes.shape, quantizer.lookup(codes).shape
        (torch.Size([2, 24, 8]), torch.Size([2, 4, 8, 8]))
    """

    def __init__(self, quantizer: Quantizer, depth: int = 4, *, shared: bool = False) -> None:
        super().__init__()
        if not isinstance(quantizer, (NearestNeighbourQuantizer, SimVectorQuantizer)):
            raise TypeError(
                "expected a VectorQuantizer, EMAVectorQuantizer or SimVectorQuantizer, whose latents can be summed, "
                f"got a {type(quantizer).__name__}"
            )
        if isinstance(quantizer, NearestNeighbourQuantizer) and quantizer.l2_normalise:
            raise ValueError("expected a quantizer without l2_normalise: the length of a rest matters; switch it off")
        if depth < 1:
            raise ValueError(f"depth must be >= 1, got {depth}")
        self.codebook_size = quantizer.codebook_size
        self.dim = quantizer.dim
        self.depth = depth
        self.shared = shared
        self.quantizer = quantizer
        self.further = nn.ModuleList([] if shared else [copy.deepcopy(quantizer) for _ in range(depth - 1)])

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Quantize latents depth by depth; in training mode every depth learns.

        Args:
            latents: (b, d, h, w), any float type.

        Returns:
            The sum over depths in fp32 with straight-through gradient, codes (b, D * h, w), and the loss.
        """
        latents = latents.float()
        rest, codes, loss = latents, [], latents.new_zeros(())
        for layer in self._layers():
            quantized: Quantized = layer(rest)
            rest = rest - quantized.latents.detach()
            codes.append(quantized.codes)
            loss = loss + quantized.loss
        return Quantized(latents=latents - rest.detach(), codes=torch.cat(codes, dim=1), loss=loss)

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b rows w"]:
        """Codes of latents.

        Args:
            latents: (b, d, h, w).

        Returns:
            (b, D * h, w) int64 in [0, k), depth 0 on top.
        """
        rest, codes = latents.detach().float(), []
        for layer in self._layers():
            codes.append(layer.encode(rest))
            rest = rest - layer.lookup(codes[-1]).detach()
        return torch.cat(codes, dim=1)

    def lookup(self, codes: Int[Tensor, "b rows w"]) -> Float[Tensor, "b d h w"]:
        """Sum of the codebook vectors of all depths.

        Args:
            codes: (b, D * h, w) in [0, k).

        Returns:
            (b, d, h, w) fp32.

        Raises:
            ValueError: if a code is out of range, or the grid does not divide into D depths.
        """
        if codes.shape[1] % self.depth:
            raise ValueError(
                f"expected a grid of codes whose height is a multiple of the depth {self.depth}, got "
                f"{codes.shape[1]} x {codes.shape[2]}; each depth's grid stands below the one before"
            )
        parts = codes.chunk(self.depth, dim=1)
        vectors = [layer.lookup(part) for layer, part in zip(self._layers(), parts, strict=True)]
        return torch.stack(vectors).sum(0)

    def _layers(self) -> list[Quantizer]:
        return [self.quantizer] * self.depth if self.shared else [self.quantizer, *self.further]
