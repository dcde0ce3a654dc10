"""VQGAN's convolutional encoder, with attention at chosen resolutions."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.blocks import Downsample, Middle, check_levels, group_norm, level, silu


class Encoder(nn.Module):
    """Images to a grid of latents: residual blocks level by level, each level at half the resolution of the one before.

    The network of VQGAN (2012.09841, appendix A); `patch > 1` folds patches of pixels into channels first, which skips
    the costly full-resolution levels (it is what makes small-machine training fast).

    Args:
        in_channels: channels of the images.
        channels: base width.
        multipliers: width of each level as a multiple of `channels`; one level more halves the resolution once more.
        blocks: residual blocks a level.
        attention_at: downsampling factors at which attention follows each residual block (taming's `attn_resolutions`,
            divided into the image size: 256 / 16 = 16).
        latent_channels: width of what leaves.
        patch: side of the pixel patches folded into channels at the start, a power of two.
        middle_attention: attention between the two blocks at the lowest resolution.
        dropout: in the residual blocks.

    Attributes:
        downsampling: pixels per cell side, `patch * 2 ** (len(multipliers) - 1)`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> import torch
        >>> encoder = Encoder(channels=8, multipliers=(1, 2), latent_channels=4)
        >>> encoder(torch.zeros(1, 3, 16, 24)).shape
        torch.Size([1, 4, 8, 12])
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 2, 4),
        blocks: int = 2,
        attention_at: Sequence[int] = (16,),
        latent_channels: int = 256,
        patch: int = 1,
        middle_attention: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_levels(channels, tuple(multipliers), blocks, patch)
        self.in_channels = in_channels
        self.channels = channels
        self.multipliers = tuple(multipliers)
        self.blocks = blocks
        self.attention_at = tuple(attention_at)
        self.latent_channels = latent_channels
        self.patch = patch
        self.middle_attention = middle_attention
        self.dropout = dropout
        self.downsampling = patch * 2 ** (len(self.multipliers) - 1)

        widths = [channels * multiplier for multiplier in self.multipliers]
        self.conv_in = nn.Conv2d(in_channels * patch**2, channels, 3, padding=1)
        self.residual = nn.ModuleList()
        self.attention = nn.ModuleList()
        self.down = nn.ModuleList()
        factor, width = patch, channels
        for index, out in enumerate(widths):
            residual, attend = level(width, out, blocks, attention=factor in self.attention_at, dropout=dropout)
            self.residual.append(residual)
            self.attention.append(attend)
            last = index == len(widths) - 1
            self.down.append(nn.Identity() if last else Downsample(out))
            width, factor = out, factor * 2
        self.middle = Middle(width, dropout, attention=middle_attention)
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, latent_channels, 3, padding=1)

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """Encode.

        Args:
            images: (b, in_channels, H, W) in [-1, 1]; H and W divisible by `downsampling`.

        Returns:
            (b, latent_channels, H / downsampling, W / downsampling).
        """
        x = F.pixel_unshuffle(images, self.patch) if self.patch > 1 else images
        x = self.conv_in(x)
        for residual, attention, down in zip(self.residual, self.attention, self.down, strict=True):
            for block, attend in zip(residual, attention, strict=True):  # type: ignore[call-overload]
                x = attend(block(x))
            x = down(x)
        x = self.middle(x)
        return self.conv_out(silu(self.norm_out(x)))
