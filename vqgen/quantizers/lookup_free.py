"""Lookup-free quantization: the signs of a latent are the bits of its code."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.bit_entropy import entropy_of_bits, entropy_of_mean
from vqgen.quantizers.rows import check_codes, to_grid, to_rows


class LookupFreeQuantizer(Quantizer):
    """Each of log2(k) numbers becomes its sign, -1 or 1; the code is those bits (LFQ; MAGVIT-v2, 2310.05737).

    `loss = entropy_weight * (E[H(q)] - diversity * H(E[q])) + commitment * ||z - sg[sign z]||^2`, where
    `q(c | z) ~ exp(-||z - c||^2 / entropy_temperature)` over all k codes c and the expectations are over the cells of
    the batch, those of all processes together: each latent is to be sure of its code, and all codes are to be used.

    The entropies are exact for any k, and the (cells, k) table of probabilities is never made, because the bits of a
    code are independent given the latent (see `vqgen.quantizers.bit_entropy`).

    Args:
        codebook_size: number of codes k, a power of two >= 2; 2^18 is what the paper uses.
        entropy_weight: weight of the entropy terms, >= 0.
        diversity: weight of the entropy of the mean against the mean of the entropies, >= 0.
        commitment: weight of the commitment term, >= 0.
        entropy_temperature: the lower, the surer q is, > 0.

    Attributes:
        dim: log2(k).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> quantizer = LookupFreeQuantizer(codebook_size=8)
        >>> quantizer.encode(torch.tensor([0.3, -2.0, 0.1]).view(1, 3, 1, 1)).item()  # bits 1 0 1
        5
    """

    powers: Tensor

    def __init__(
        self,
        codebook_size: int,
        *,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        commitment: float = 0.25,
        entropy_temperature: float = 0.01,
    ) -> None:
        super().__init__()
        if codebook_size < 2 or codebook_size & (codebook_size - 1):
            raise ValueError(f"codebook_size must be a power of two >= 2, one bit a number, got {codebook_size}")
        if min(entropy_weight, diversity, commitment) < 0:
            raise ValueError(
                "entropy_weight, diversity and commitment must be >= 0, "
                f"got {entropy_weight}, {diversity} and {commitment}"
            )
        if entropy_temperature <= 0:
            raise ValueError(f"entropy_temperature must be > 0, got {entropy_temperature}")
        self.codebook_size = codebook_size
        self.dim = codebook_size.bit_length() - 1
        self.entropy_weight = entropy_weight
        self.diversity = diversity
        self.commitment = commitment
        self.entropy_temperature = entropy_temperature
        powers = 2 ** torch.arange(self.dim - 1, -1, -1)
        self.register_buffer("powers", powers, persistent=False)  # the first number is the highest bit

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Take the signs; the loss makes them sure and diverse.

        Args:
            latents: (b, log2 k, h, w), any float type.

        Returns:
            Signs in fp32 with straight-through gradient, codes, and the loss.
        """
        with torch.autocast(latents.device.type, enabled=False):
            rows = to_rows(latents, self.dim)
            bits = rows.detach() > 0
            signs = bits.float() * 2 - 1
            loss = self.commitment * F.mse_loss(rows, signs)
            if self.entropy_weight:
                loss = loss + self.entropy_weight * self._entropy_loss(rows)
            straight_through = rows + (signs - rows).detach()
        b, _, h, w = latents.shape
        return Quantized(latents=to_grid(straight_through, latents), codes=self._number(bits).view(b, h, w), loss=loss)

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Codes of latents.

        Args:
            latents: (b, log2 k, h, w).

        Returns:
            (b, h, w) int64 in [0, k).
        """
        b, _, h, w = latents.shape
        return self._number(to_rows(latents, self.dim) > 0).view(b, h, w)

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Signs of codes.

        Args:
            codes: (b, h, w) in [0, k).

        Returns:
            (b, log2 k, h, w) fp32, each -1 or 1.

        Raises:
            ValueError: if a code is out of range.
        """
        check_codes(codes, self.codebook_size)
        bits = (codes[..., None] // self.powers) % 2  # (b, h, w) -> (b, h, w, d)
        return (bits.float() * 2 - 1).movedim(-1, 1)

    def _entropy_loss(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        # ||z - c||^2 differs by 4z between c = -1 and c = 1: that is the log-odds of a bit.
        log_odds = 4 * rows / self.entropy_temperature
        return entropy_of_bits(log_odds).mean() - self.diversity * entropy_of_mean(log_odds)

    def _number(self, bits: Bool[Tensor, "n d"]) -> Int[Tensor, "n"]:
        return (bits * self.powers).sum(1)
