"""Finite scalar quantization: every number of a latent is rounded to one of a few levels."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.rows import check_codes, to_grid, to_rows

# Widens the bounded range by so little that the outermost levels can be reached, and inverted, at a finite latent.
MARGIN = 1e-3


class FiniteScalarQuantizer(Quantizer):
    """Rounds each of d bounded numbers to one of L_i levels; the code counts all combinations (FSQ, 2309.15505).

    `f(z_i) = (L_i - 1) / 2 * tanh(z_i + s_i) - o_i`, rounded, with o_i = 1/2 and a shift s_i where L_i is even, so that
    z = 0 sits at 0; what leaves is `round(f(z_i)) / floor(L_i / 2)` in [-1, 1]. Backward takes the rounding for the
    identity. There is no codebook to learn, nothing to collapse, and no loss.

    `encode(lookup(codes))` is not `codes`, because what leaves is bounded and what comes is not;
    `encode(unbounded(lookup(codes)))` is.

    Args:
        levels: levels of each number, each >= 3; the paper advises 5 and more. (8, 6, 5) for about 2^8 codes, (8, 8, 8)
            for 2^9, (8, 5, 5, 5) for 2^10, (7, 5, 5, 5, 5) for 2^12, (8, 8, 8, 6, 5) for 2^14.

    Attributes:
        codebook_size: the product of the levels.
        dim: how many numbers, `len(levels)`.

    Raises:
        ValueError: if a level is too small, or there is none.

    Example:
        >>> quantizer = FiniteScalarQuantizer(levels=(8, 5, 5, 5))
        >>> quantizer.codebook_size, quantizer.dim
        (1000, 4)
        >>> quantizer.lookup(torch.tensor([[[0, 999]]])).flatten(1).tolist()  # lowest and highest level of each
        [[-1.0, 0.75, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]]
    """

    sizes: Tensor
    strides: Tensor

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise ValueError(
                f"levels must each be >= 3, got {tuple(levels)}; for two levels use LookupFreeQuantizer, "
                "which is made for them"
            )
        self.levels = tuple(levels)
        self.codebook_size = math.prod(self.levels)
        self.dim = len(self.levels)
        strides = [math.prod(self.levels[:index]) for index in range(self.dim)]
        # Facts of the constructor, which no state dict need hold.
        self.register_buffer("sizes", torch.tensor(self.levels), persistent=False)
        self.register_buffer("strides", torch.tensor(strides), persistent=False)

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Bound and round.

        Args:
            latents: (b, d, h, w), any float type and size of number.

        Returns:
            Rounded latents in [-1, 1] in fp32, their codes, and a loss of 0.
        """
        with torch.autocast(latents.device.type, enabled=False):
            bounded = self._bound(to_rows(latents, self.dim))
            rounded = bounded.detach().round()
            straight_through = (bounded + (rounded - bounded).detach()) / self._half_width
        b, _, h, w = latents.shape
        return Quantized(
            latents=to_grid(straight_through, latents),
            codes=self._number(rounded).view(b, h, w),
            loss=straight_through.new_zeros(()),
        )

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Codes of latents.

        Args:
            latents: (b, d, h, w).

        Returns:
            (b, h, w) int64 in [0, k).
        """
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            codes = self._number(self._bound(to_rows(latents, self.dim)).round())
        b, _, h, w = latents.shape
        return codes.view(b, h, w)

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Rounded latents of codes.

        Args:
            codes: (b, h, w) in [0, k).

        Returns:
            (b, d, h, w) fp32 in [-1, 1].

        Raises:
            ValueError: if a code is out of range.
        """
        check_codes(codes, self.codebook_size)
        digits = (codes[..., None] // self.strides) % self.sizes  # (b, h, w) -> (b, h, w, d)
        return (digits / self._half_width - 1).movedim(-1, 1)

    def unbounded(self, quantized: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """Latents that are quantized to these: the inverse of the bound.

        Args:
            quantized: (b, d, h, w) in [-1, 1], as `lookup` gives them.

        Returns:
            (b, d, h, w), about [-5, 5].
        """
        rows = to_rows(quantized, self.dim) * self._half_width
        return to_grid(torch.atanh((rows + self._offset) / self._half_range) - self._shift, quantized)

    @property
    def _half_width(self) -> Int[Tensor, "d"]:
        return self.sizes // 2

    @property
    def _half_range(self) -> Float[Tensor, "d"]:
        return (self.sizes - 1) * (1 + MARGIN) / 2

    @property
    def _offset(self) -> Float[Tensor, "d"]:
        return (self.sizes % 2 == 0) * 0.5

    @property
    def _shift(self) -> Float[Tensor, "d"]:
        return torch.atanh(self._offset / self._half_range)

    def _bound(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return torch.tanh(rows + self._shift) * self._half_range - self._offset

    def _number(self, rounded: Float[Tensor, "n d"]) -> Int[Tensor, "n"]:
        return ((rounded.long() + self._half_width) * self.strides).sum(1)
