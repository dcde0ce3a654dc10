"""The tokenizer: images to grids of codes and back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.checkpoint import Portable
from vqgen.quantizers import Quantizer


@dataclass(frozen=True)
class Reconstruction:
    """What the tokenizer makes of a batch of images in training.

    Attributes:
        images: (b, c, H, W), decoded from the quantized latents; about [-1, 1], not clamped, with gradients.
        codes: (b, h, w) int64.
        quantizer_loss: scalar, what the quantizer adds to the loss.
        log_scale: (b, c, H, W), log of how uncertain the decoder says each pixel is; None where it does not say.
    """

    images: Float[Tensor, "b c H W"]
    codes: Int[Tensor, "b h w"]
    quantizer_loss: Float[Tensor, ""]
    log_scale: Float[Tensor, "b c H W"] | None = None


class Tokenizer(Portable):
    """Encoder, quantizer and decoder (VQ-VAE, 1711.00937; VQGAN, 2012.09841).

    Args:
        encoder: images (b, c, H, W) to latents; has `in_channels`, `latent_channels` and `downsampling`.
        decoder: latents to images; has `latent_channels` and `downsampling`. One with a method `distribution(latents)`
            gives images and the log of their scale, for a loss that is a likelihood.
        quantizer: latents to codes and back; its `dim` may differ from the latent channels, a 1x1 convolution on each
            side fits them.

    Attributes:
        codebook_size: number of codes, k.
        downsampling: pixels per cell side.
        metadata: what was recorded with the weights, such as `image_size`.

    Raises:
        ValueError: if encoder and decoder do not belong together.

    Example:
        >>> from vqgen.quantizers import EMAVectorQuantizer
        >>> from vqgen.tokenizer import Decoder, Encoder
        >>> size = dict(channels=8, multipliers=(1, 2), latent_channels=8)
        >>> tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=16, dim=4))
        >>> codes = tokenizer.encode(torch.zeros(2, 3, 16, 16))
        >>> codes.shape, tokenizer.decode(codes).shape
        (torch.Size([2, 8, 8]), torch.Size([2, 3, 16, 16]))
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, quantizer: Quantizer) -> None:
        super().__init__()
        if encoder.downsampling != decoder.downsampling:
            raise ValueError(
                f"the encoder divides the image side by {encoder.downsampling} and the decoder multiplies it by "
                f"{decoder.downsampling}; give both the same multipliers and patch"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.quantizer = quantizer
        self.to_quantizer = nn.Conv2d(int(encoder.latent_channels), quantizer.dim, 1)  # type: ignore[arg-type]
        self.from_quantizer = nn.Conv2d(quantizer.dim, int(decoder.latent_channels), 1)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # convolutions are faster, on the CPU as on GPUs

    @property
    def codebook_size(self) -> int:
        """Number of codes, k."""
        return self.quantizer.codebook_size

    @property
    def depth(self) -> int:
        """Codes a cell; above 1 with a residual quantizer, whose grid of codes is so many times as tall."""
        return self.quantizer.depth

    @property
    def downsampling(self) -> int:
        """Pixels per cell side."""
        return int(self.encoder.downsampling)  # type: ignore[arg-type]

    def grid_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the code grid of an image.

        Args:
            image_size: (H, W) in pixels.

        Returns:
            (h, w) in codes: as many as cells, `quantizer.depth` times as many rows with a residual quantizer.

        Raises:
            ValueError: if a side is not divisible by `downsampling`.
        """
        return grid_size(image_size, self.downsampling, self.depth)

    def codebook(self) -> Float[Tensor, "k d"]:
        """The latent that stands for each code, (k, d), detached.

        Raises:
            ValueError: if a cell has several codes (a residual quantizer), each with a codebook of its own.
        """
        if self.depth > 1:
            raise ValueError(
                f"expected one code a cell, got {self.depth}, whose codes mean something else at each depth"
            )
        device = next(self.parameters()).device
        codes = torch.arange(self.codebook_size, device=device).view(1, 1, -1)
        return self.quantizer.lookup(codes)[0, :, 0].T.detach()

    def forward(self, images: Float[Tensor, "b c H W"]) -> Reconstruction:
        """Reconstruct images with gradients; in training mode the quantizer learns.

        Args:
            images: (b, c, H, W) in [-1, 1].

        Returns:
            Reconstructed images, codes, and the quantizer's loss.
        """
        quantized = self.quantizer(self._latents(images))
        latents = self.from_quantizer(quantized.latents)
        log_scale = None
        if hasattr(self.decoder, "distribution"):
            decoded, log_scale = self.decoder.distribution(latents)  # type: ignore[operator]
        else:
            decoded = self.decoder(latents)
        return Reconstruction(decoded, quantized.codes, quantized.loss, log_scale)

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b h w"]:
        """Codes of images.

        Args:
            images: (b, c, H, W) in [-1, 1]; H and W divisible by `downsampling`.

        Returns:
            (b, h, w) int64 in [0, codebook_size), of the size that `grid_size` says.

        Raises:
            ValueError: if the channels or a side do not fit.
        """
        return self.quantizer.encode(self._latents(images))

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c H W"]:
        """Images of codes.

        Args:
            codes: (b, h, w) in [0, codebook_size).

        Returns:
            (b, c, h * downsampling, w * downsampling) fp32 in [-1, 1].

        Raises:
            ValueError: if a code is out of range.
        """
        latents = self.quantizer.lookup(codes).to(self.from_quantizer.weight.dtype)
        return self.decoder(self.from_quantizer(latents)).float().clamp(-1, 1)

    def _latents(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        self.grid_size((images.shape[-2], images.shape[-1]))
        if images.shape[1] != self.encoder.in_channels:
            raise ValueError(
                f"expected images with {self.encoder.in_channels} channels, got {images.shape[1]}; "
                "set the image source's channels"
            )
        return self.to_quantizer(self.encoder(images))


def grid_size(image_size: tuple[int, int], downsampling: int, depth: int = 1) -> tuple[int, int]:
    """Height and width of the code grid of an image.

    Args:
        image_size: (H, W) in pixels.
        downsampling: pixels per cell side.
        depth: codes a cell, the tokenizer's.

    Returns:
        (h, w) in codes: as many as cells, `depth` times as many rows.

    Raises:
        ValueError: if a side is not a positive multiple of `downsampling`.

    Example:
        >>> grid_size((64, 96), 8)
        (8, 12)
    """
    height, width = image_size
    if height < 1 or width < 1 or height % downsampling or width % downsampling:
        nearest = tuple(max(1, round(side / downsampling)) * downsampling for side in image_size)
        raise ValueError(
            f"the image height and width must be divisible by the tokenizer's downsampling {downsampling}, "
            f"got {height} x {width}; use {nearest[0]} x {nearest[1]}, or change the tokenizer's levels"
        )
    return depth * (height // downsampling), width // downsampling
