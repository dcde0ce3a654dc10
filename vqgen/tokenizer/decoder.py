"""VQGAN's convolutional decoder, with attention at chosen resolutions."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.blocks import Middle, Upsample, check_levels, group_norm, level, silu


class Decoder(nn.Module):
    """A grid of latents to images: the encoder's levels backwards, with one residual block more in each.

    Args:
        out_channels: channels of the images.
        channels: base width.
        multipliers: width of each level as a multiple of `channels`, as in the encoder (highest resolution first).
        blocks: residual blocks a level of the encoder; a level here has one more.
        attention_at: downsampling factors at which attention follows each residual block.
        latent_channels: width of what comes.
        patch: side of the pixel patches that are unfolded from channels at the end, a power of two.
        middle_attention: attention between the two blocks at the lowest resolution.
        dropout: in the residual blocks.

    Attributes:
        downsampling: pixels per cell side, `patch * 2 ** (len(multipliers) - 1)`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> import torch
        >>> decoder = Decoder(channels=8, multipliers=(1, 2), latent_channels=4)
        >>> decoder(torch.zeros(1, 4, 8, 12)).shape
        torch.Size([1, 3, 16, 24])
    """

    def __init__(
        self,
        out_channels: int = 3,
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
        self.out_channels = out_channels
        self.channels = channels
        self.multipliers = tuple(multipliers)
        self.blocks = blocks
        self.attention_at = tuple(attention_at)
        self.latent_channels = latent_channels
        self.patch = patch
        self.middle_attention = middle_attention
        self.dropout = dropout
        self.downsampling = patch * 2 ** (len(self.multipliers) - 1)

        widths = [channels * multiplier for multiplier in reversed(self.multipliers)]
        width = widths[0]
        self.conv_in = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.middle = Middle(width, dropout, attention=middle_attention)
        self.residual = nn.ModuleList()
        self.attention = nn.ModuleList()
        self.up = nn.ModuleList()
        factor = self.downsampling
        for index, out in enumerate(widths):
            residual, attend = level(width, out, blocks + 1, attention=factor in self.attention_at, dropout=dropout)
            self.residual.append(residual)
            self.attention.append(attend)
            last = index == len(widths) - 1
            self.up.append(nn.Identity() if last else Upsample(out))
            width, factor = out, factor // 2
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, out_channels * patch**2, 3, padding=1)

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c H W"]:
        """Decode.

        Args:
            latents: (b, latent_channels, h, w).

        Returns:
            (b, out_channels, h * downsampling, w * downsampling), about [-1, 1] but not clamped.
        """
        x = self.middle(self.conv_in(latents))
        for residual, attention, up in zip(self.residual, self.attention, self.up, strict=True):
            for block, attend in zip(residual, attention, strict=True):  # type: ignore[call-overload]
                x = attend(block(x))
            x = up(x)
        x = self.conv_out(silu(self.norm_out(x)))
        return F.pixel_shuffle(x, self.patch) if self.patch > 1 else x
