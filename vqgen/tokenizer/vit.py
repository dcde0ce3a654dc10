"""ViT-VQGAN's encoder and decoder: patches and Transformer blocks in the place of convolutions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.vit_blocks import ViTTrunk


class ViTEncoder(nn.Module):
    """Images to a grid of latents: a linear map of each patch of pixels, then Transformer blocks over all patches.

    Two linear layers with a tanh between them follow the blocks, and no convolution looks over a patch's edge. The
    positions are sines and cosines of row and column, so that any height and width work that the patch divides; sizes
    far from those of training are outside what the blocks have seen, though (see `encode_tiled`).

    Args:
        in_channels: channels of the images.
        patch: side of a patch in pixels.
        channels: width d of the Transformer, a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: attention heads.
        dropout: in the blocks.

    Attributes:
        downsampling: pixels per cell side: `patch`.
        latent_channels: width of what leaves: `channels`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> encoder = ViTEncoder(patch=4, channels=16, depth=1, heads=2)
        >>> encoder(torch.zeros(1, 3, 16, 24)).shape
        torch.Size([1, 16, 4, 6])

    Source: Yu et al., Vector-quantized Image Modeling with Improved VQGAN (2110.04627), section 3.1. Its sizes
        (channels, depth, heads): small 512, 8, 8; base 768, 12, 12; large 1280, 32, 16; patches of 8.
    """

    def __init__(
        self,
        in_channels: int = 3,
        patch: int = 8,
        channels: int = 512,
        depth: int = 8,
        heads: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_patch(patch)
        self.in_channels = in_channels
        self.patch = patch
        self.channels = channels
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.downsampling = patch
        self.latent_channels = channels
        self.conv_in = nn.Conv2d(in_channels, channels, patch, stride=patch)
        self.trunk = ViTTrunk(channels, depth, heads, dropout)
        self.widen = nn.Conv2d(channels, 4 * channels, 1)
        self.conv_out = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """Encode.

        Args:
            images: (b, in_channels, H, W) in [-1, 1]; H and W divisible by `patch`.

        Returns:
            (b, channels, H / patch, W / patch).
        """
        return self.conv_out(torch.tanh(self.widen(self.trunk(self.conv_in(images)))))


class ViTDecoder(nn.Module):
    """A grid of latents to images: Transformer blocks over all cells, then a patch of pixels from each.

    Args:
        out_channels: channels of the images.
        patch: side of a patch in pixels.
        channels: width d of the Transformer and of what comes, a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: attention heads.
        dropout: in the blocks.

    Attributes:
        downsampling: pixels per cell side: `patch`.
        latent_channels: width of what comes: `channels`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> decoder = ViTDecoder(patch=4, channels=16, depth=1, heads=2)
        >>> decoder(torch.zeros(1, 16, 4, 6)).shape
        torch.Size([1, 3, 16, 24])

    Source: Yu et al., Vector-quantized Image Modeling with Improved VQGAN (2110.04627), section 3.1.
    """

    def __init__(
        self,
        out_channels: int = 3,
        patch: int = 8,
        channels: int = 512,
        depth: int = 8,
        heads: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_patch(patch)
        self.out_channels = out_channels
        self.patch = patch
        self.channels = channels
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.downsampling = patch
        self.latent_channels = channels
        self.trunk = ViTTrunk(channels, depth, heads, dropout)
        self.widen = nn.Conv2d(channels, 4 * channels, 1)
        self.conv_out = nn.Conv2d(4 * channels, out_channels * patch**2, 1)

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c H W"]:
        """Decode.

        Args:
            latents: (b, channels, h, w).

        Returns:
            (b, out_channels, h * patch, w * patch), about [-1, 1] but not clamped.
        """
        return F.pixel_shuffle(self.conv_out(torch.tanh(self.widen(self.trunk(latents)))), self.patch)


def _check_patch(patch: int) -> None:
    if patch < 1:
        raise ValueError(f"patch must be >= 1 pixel, got {patch}")
