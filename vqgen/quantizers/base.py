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
        codes: (b, rows, w) int64 in [0, k); `rows = depth * h`, which is h for all but residual quantizers.
        loss: scalar, what the quantizer adds to the training loss (0 where it adds nothing).
    """

    latents: Float[Tensor, "b d h w"]
    codes: Int[Tensor, "b rows w"]
    loss: Float[Tensor, ""]


class Quantizer(nn.Module, ABC):
    """Base of all quantizers.

    Attributes:
        codebook_size: number of codes, k.
        dim: width of a latent, d; the quantizer receives and returns latents of this width.
        depth: codes a cell; the grids of codes of each depth lie one below the other.
        progress: how far training is, in [0, 1]; what `set_progress` said last.
    """

    codebook_size: int
    dim: int
    depth: int = 1
    progress: float = 0.0

    @abstractmethod
    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Quantize latents (b, d, h, w); in training mode also learn."""

    @abstractmethod
    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b rows w"]:
        """Codes (b, depth * h, w) of latents (b, d, h, w); learns nothing, draws nothing."""

    @abstractmethod
    def lookup(self, codes: Int[Tensor, "b rows w"]) -> Float[Tensor, "b d h w"]:
        """Latents (b, d, h, w) that stand for codes (b, depth * h, w)."""

    def set_progress(self, progress: float) -> None:
        """Say how far training is; a quantizer with a schedule reads it, any other has no use for it.

        Args:
            progress: share of the training that is done, in [0, 1]. Whoever trains calls this before each step; it is
                not kept with the weights.

        Raises:
            ValueError: if it is out of range.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress must be in [0, 1], got {progress}; give step / number of steps")
        self.progress = progress
