"""SimVQ: a fixed random codebook seen through one learned matrix, so that every step moves every code."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.nearest import nearest_codes
from vqgen.quantizers.rows import check_codes, to_grid, to_rows


class SimVectorQuantizer(Quantizer):
    """Nearest neighbour in `C W`: C (k, d) random and fixed, W (d, d) learned (SimVQ, 2411.02038).

    `loss = codebook_weight * ||sg[z] - e||^2 + commitment * ||z - sg[e]||^2`. In ordinary VQ a step moves the codes
    that were chosen, and those that are never chosen die; here it moves the whole space they stand in. It needs no
    k-means start and no restarts, and keeps large codebooks in use. W begins as the identity; a low `dim` (8 to 32)
    suits it, as random vectors fill a wide space thinly.

    Args:
        codebook_size: number of codes k, >= 1.
        dim: width of a latent d, >= 1.
        codebook_weight: weight of the codebook term, > 0.
        commitment: weight beta of the commitment term, >= 0.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> quantizer = SimVectorQuantizer(codebook_size=16, dim=4)
        >>> [name for name, _ in quantizer.named_parameters()]
        ['transform.weight']
    """

    fixed: Tensor

    def __init__(self, codebook_size: int, dim: int, *, codebook_weight: float = 1.0, commitment: float = 0.25) -> None:
        super().__init__()
        if codebook_size < 1 or dim < 1:
            raise ValueError(f"codebook_size and dim must be >= 1, got codebook_size={codebook_size}, dim={dim}")
        if codebook_weight <= 0:
            raise ValueError(f"codebook_weight must be > 0, or the codebook never moves; got {codebook_weight}")
        if commitment < 0:
            raise ValueError(f"commitment must be >= 0, got {commitment}")
        self.codebook_size = codebook_size
        self.dim = dim
        self.codebook_weight = codebook_weight
        self.commitment = commitment
        self.register_buffer("fixed", torch.randn(codebook_size, dim) / dim**0.5)
        self.transform = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.transform.weight)  # spreads the codes wider at first than a random matrix, so more are in use

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Quantize latents.

        Args:
            latents: (b, d, h, w), any float type.

        Returns:
            Quantized latents in fp32 with straight-through gradient, codes, and the loss.
        """
        with torch.autocast(latents.device.type, enabled=False):
            rows = to_rows(latents, self.dim)
            codebook = self.transform(self.fixed)
            codes = nearest_codes(rows.detach(), codebook.detach())
            quantized = codebook[codes]
            loss = self.codebook_weight * F.mse_loss(quantized, rows.detach())
            loss = loss + self.commitment * F.mse_loss(rows, quantized.detach())
            straight_through = rows + (quantized - rows).detach()
        b, _, h, w = latents.shape
        return Quantized(latents=to_grid(straight_through, latents), codes=codes.view(b, h, w), loss=loss)

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Codes of latents.

        Args:
            latents: (b, d, h, w).

        Returns:
            (b, h, w) int64 in [0, k).
        """
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            codes = nearest_codes(to_rows(latents, self.dim), self.transform(self.fixed))
        b, _, h, w = latents.shape
        return codes.view(b, h, w)

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Codebook vectors of codes.

        Args:
            codes: (b, h, w) in [0, k).

        Returns:
            (b, d, h, w) fp32.

        Raises:
            ValueError: if a code is out of range.
        """
        check_codes(codes, self.codebook_size)
        with torch.autocast(codes.device.type, enabled=False):
            return self.transform(self.fixed)[codes].movedim(-1, 1)  # (b, h, w, d) -> (b, d, h, w)
