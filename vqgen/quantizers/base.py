"""What every quantizer is: latents in, codes out, and back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Quantized:
    """What a quantizer makes of a grid of latents.

    Attributes:
        latents: (b, d, h, w), the quantized latents; gradients pass to the encoder as the quantizer defines.
        codes: (b, h, w) int64 in [0, k).
        loss: scalar, what the quantizer adds to the training loss (0 where it adds nothing).
    """

    latents: Float[Tensor, "b d h w"]
    codes: Int[Tensor, "b h w"]
    loss: Float[Tensor, ""]


class Quantizer(nn.Module, ABC):
    """Base of all quantizers.

    Attributes:
        codebook_size: number of codes, k.
        dim: width of a latent, d.
    """

    codebook_size: int
    dim: int

    @abstractmethod
    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Quantize latents (b, d, h, w); in training mode also learn."""

    @abstractmethod
    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Codes (b, h, w) of latents (b, d, h, w); learns nothing."""

    @abstractmethod
    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Latents (b, d, h, w) that stand for codes (b, h, w)."""
