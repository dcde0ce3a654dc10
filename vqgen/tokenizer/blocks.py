"""The building blocks of VQGAN's encoder and decoder (2012.09841, appendix A, table 7)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.winograd import Convolution3x3

SMALL_MAP = 1024
"""Places of a feature map from which on torch's group norm of bf16 takes another way on the CPU, which is fast."""


class GroupNorm(nn.GroupNorm):
    """Torch's group norm; in fp32 for small maps in bf16 on the CPU, for which that is three times as fast there."""

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        """(b, c, H, W) -> (b, c, H, W), of the same type."""
        if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.shape[-2:].numel() >= SMALL_MAP:
            return super().forward(x)
        return F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps).to(x.dtype)


def group_norm(channels: int) -> GroupNorm:
    """Group norm with 32 groups, or the most that divide the channels (fewer than 32 channels, or odd widths)."""
    groups = next(groups for groups in range(min(32, channels), 0, -1) if channels % groups == 0)
    return GroupNorm(groups, channels, eps=1e-6)


def silu(fresh: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    """SiLU of a tensor that nothing else needs: without gradients it takes the place of its input."""
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    """`x + conv(silu(norm(conv(silu(norm(x))))))`, with a 1x1 convolution on the shortcut where the width changes.

    Args:
        in_channels: channels that come.
        out_channels: channels that leave.
        dropout: before the second convolution, in [0, 1).
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = Convolution3x3(in_channels, out_channels)
        self.norm2 = group_norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = Convolution3x3(out_channels, out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d H W"]:
        """(b, in_channels, H, W) -> (b, out_channels, H, W)."""
        out = self.conv1(silu(self.norm1(x)))
        out = self.conv2(self.dropout(silu(self.norm2(out))))
        return out.add_(self.shortcut(x))


class SpatialAttention(nn.Module):
    """Single-head self-attention over all places of a feature map, with a residual connection.

    Args:
        channels: channels that come and leave.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        """(b, c, H, W) -> (b, c, H, W)."""
        b, c, H, W = x.shape
        normed = self.norm(x)

        def places(y: Tensor) -> Tensor:
            return y.flatten(2).transpose(1, 2)[:, None]  # (b, c, H, W) -> (b, 1, H*W, c)

        attended = F.scaled_dot_product_attention(
            places(self.query(normed)), places(self.key(normed)), places(self.value(normed))
        )
        return x + self.out(attended[:, 0].transpose(1, 2).reshape(b, c, H, W))


class Downsample(nn.Module):
    """Half the height and width by a strided 3x3 convolution, padded right and below only.

    Args:
        channels: channels that come and leave.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=2)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H2 W2"]:
        """(b, c, H, W) -> (b, c, H/2, W/2)."""
        # Padded by two all around, all but the first row and column are what padding one right and below gives, and
        # the large feature map is not copied for it.
        height, width = x.shape[-2:]
        return self.conv(x)[:, :, 1 : 1 + height // 2, 1 : 1 + width // 2]


class Upsample(nn.Module):
    """Twice the height and width by nearest neighbour, then a 3x3 convolution.

    Args:
        channels: channels that come and leave.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution3x3(channels, channels)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H2 W2"]:
        """(b, c, H, W) -> (b, c, 2H, 2W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def level(
    in_channels: int, out_channels: int, blocks: int, *, attention: bool, dropout: float
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Residual blocks of one resolution, and the attention (or nothing) after each."""
    residual = nn.ModuleList()
    attend = nn.ModuleList()
    for index in range(blocks):
        residual.append(ResidualBlock(in_channels if index == 0 else out_channels, out_channels, dropout))
        attend.append(SpatialAttention(out_channels) if attention else nn.Identity())
    return residual, attend


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution.

    Args:
        channels: channels that come and leave.
        dropout: in the residual blocks.
        attention: whether the attention is there.
    """

    def __init__(self, channels: int, dropout: float, *, attention: bool = True) -> None:
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, dropout)
        self.attention = SpatialAttention(channels) if attention else nn.Identity()
        self.block2 = ResidualBlock(channels, channels, dropout)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        """(b, c, H, W) -> (b, c, H, W)."""
        return self.block2(self.attention(self.block1(x)))


def check_levels(channels: int, multipliers: tuple[int, ...], blocks: int, patch: int) -> None:
    """Raise ValueError where the sizes of an encoder or decoder make no network."""
    if channels < 1 or blocks < 1 or not multipliers or min(multipliers) < 1:
        raise ValueError(
            "channels, blocks and every multiplier must be >= 1, got "
            f"channels={channels}, blocks={blocks}, multipliers={multipliers}"
        )
    if patch < 1 or patch & (patch - 1):
        raise ValueError(f"patch must be a power of two, got {patch}")


__all__ = [
    "Downsample",
    "Middle",
    "ResidualBlock",
    "SpatialAttention",
    "Upsample",
    "check_levels",
    "group_norm",
    "level",
    "silu",
]
