"""The encoder and decoder of DALL-E's discrete VAE."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.dvae_blocks import LOGIT_LAPLACE_EPSILON, BottleneckBlock, check_dvae_sizes, fan_in_convolution

HALF_RANGE = 0.5 - LOGIT_LAPLACE_EPSILON
"""A pixel p in [-1, 1] is `0.5 + HALF_RANGE * p` between epsilon and 1 - epsilon."""


class DVAEEncoder(nn.Module):
    """Images to a grid of latents: levels of bottleneck blocks with a max-pooling after each but the last.

    There is no normalisation and no attention: a cell depends on the pixels near it and on no others, so that tiled
    coding is exact. In DALL-E, the 1x1 convolution that the `Tokenizer` puts before its quantizer makes the logits of
    the codes.

    Args:
        in_channels: channels of the images.
        channels: width of the first level, doubled in each that follows; a multiple of 4.
        levels: number of levels.
        blocks: bottleneck blocks a level.

    Attributes:
        downsampling: pixels per cell side, `2 ** (levels - 1)`.
        latent_channels: width of what leaves, `channels * 2 ** (levels - 1)`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> encoder = DVAEEncoder(channels=8, levels=3, blocks=1)
        >>> encoder(torch.zeros(1, 3, 16, 24)).shape
        torch.Size([1, 32, 4, 6])

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), appendix A.2; the defaults are its sizes.
    """

    def __init__(self, in_channels: int = 3, channels: int = 256, levels: int = 4, blocks: int = 2) -> None:
        super().__init__()
        check_dvae_sizes(channels, levels, blocks)
        self.in_channels = in_channels
        self.channels = channels
        self.levels = levels
        self.blocks = blocks
        self.downsampling = 2 ** (levels - 1)
        self.latent_channels = channels * 2 ** (levels - 1)
        self.conv_in = fan_in_convolution(in_channels, channels, 7)
        self.groups = nn.ModuleList()
        width = channels
        for level in range(levels):
            group = nn.ModuleList()
            for _ in range(blocks):
                out = channels * 2**level
                group.append(BottleneckBlock(width, out, kernels=(3, 3, 3, 1), gain=1 / (levels * blocks) ** 2))
                width = out
            self.groups.append(group)

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """Encode.

        Args:
            images: (b, in_channels, H, W) in [-1, 1]; H and W divisible by `downsampling`.

        Returns:
            (b, latent_channels, H / downsampling, W / downsampling), >= 0.
        """
        x = self.conv_in(0.5 + HALF_RANGE * images)
        for level, group in enumerate(self.groups):
            x = F.max_pool2d(x, 2) if level else x
            for block in group:  # type: ignore[attr-defined]
                x = block(x)
        return F.relu(x)


class DVAEDecoder(nn.Module):
    """A grid of latents to images: levels of bottleneck blocks with doubling by nearest neighbour after each but one.

    It describes each pixel by a logit-Laplace distribution: location mu and log scale ln b. The image it gives is the
    logistic function of mu, mapped back to [-1, 1]; `distribution` gives the log scale too, which
    `vqgen.losses.LogitLaplaceLoss` can use.

    Args:
        out_channels: channels of the images.
        channels: width of the last level, doubled in each before it; a multiple of 4.
        levels: number of levels.
        blocks: bottleneck blocks a level.
        latent_channels: width of what comes.

    Attributes:
        downsampling: pixels per cell side, `2 ** (levels - 1)`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> decoder = DVAEDecoder(channels=8, levels=3, blocks=1, latent_channels=4)
        >>> decoder(torch.zeros(1, 4, 4, 6)).shape
        torch.Size([1, 3, 16, 24])

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), appendices A.2 and A.3.
    """

    def __init__(
        self, out_channels: int = 3, channels: int = 256, levels: int = 4, blocks: int = 2, latent_channels: int = 128
    ) -> None:
        super().__init__()
        check_dvae_sizes(channels, levels, blocks)
        self.out_channels = out_channels
        self.channels = channels
        self.levels = levels
        self.blocks = blocks
        self.latent_channels = latent_channels
        self.downsampling = 2 ** (levels - 1)
        self.groups = nn.ModuleList()
        width = latent_channels
        for level in reversed(range(levels)):
            group = nn.ModuleList()
            for _ in range(blocks):
                out = channels * 2**level
                group.append(BottleneckBlock(width, out, kernels=(1, 3, 3, 3), gain=1 / (levels * blocks) ** 2))
                width = out
            self.groups.append(group)
        self.conv_out = fan_in_convolution(width, 2 * out_channels, 1)

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c H W"]:
        """Decode.

        Args:
            latents: (b, latent_channels, h, w).

        Returns:
            (b, out_channels, h * downsampling, w * downsampling), within 1.25 of 0 and about [-1, 1].
        """
        return self.distribution(latents)[0]

    def distribution(
        self, latents: Float[Tensor, "b d h w"]
    ) -> tuple[Float[Tensor, "b c H W"], Float[Tensor, "b c H W"]]:
        """Decode to the distribution of each pixel.

        Args:
            latents: (b, latent_channels, h, w).

        Returns:
            The image, as `forward` gives it, and ln b: both (b, out_channels, H, W) fp32.
        """
        x = latents
        for level, group in enumerate(self.groups):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if level else x
            for block in group:  # type: ignore[attr-defined]
                x = block(x)
        location, log_scale = self.conv_out(F.relu(x)).float().chunk(2, dim=1)
        return (torch.sigmoid(location) - 0.5) / HALF_RANGE, log_scale
