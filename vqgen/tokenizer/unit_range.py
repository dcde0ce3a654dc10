"""Encoders that were trained on pixels between 0 and 1."""

from jaxtyping import Float
from torch import Tensor, nn


class UnitRangeEncoder(nn.Module):
    """Puts images from [-1, 1] into [0, 1] before an encoder that expects them there.

    The shift cannot be folded into the encoder's first convolution: that pads with zeros, which are black in [0, 1] and
    grey in [-1, 1].

    Args:
        encoder: has `in_channels`, `latent_channels` and `downsampling`, which are this module's too.

    Example:
        >>> import torch
        >>> from vqgen.tokenizer import Encoder
        >>> encoder = UnitRangeEncoder(Encoder(channels=8, multipliers=(1, 2), latent_channels=4))
        >>> encoder(torch.zeros(1, 3, 16, 24)).shape
        torch.Size([1, 4, 8, 12])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.in_channels = int(encoder.in_channels)  # type: ignore[arg-type]
        self.latent_channels = int(encoder.latent_channels)  # type: ignore[arg-type]
        self.downsampling = int(encoder.downsampling)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """Encode.

        Args:
            images: (b, in_channels, H, W) in [-1, 1].

        Returns:
            (b, latent_channels, H / downsampling, W / downsampling).
        """
        return self.encoder((images + 1) / 2)
