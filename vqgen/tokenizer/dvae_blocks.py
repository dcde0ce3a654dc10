"""The building blocks of DALL-E's discrete VAE."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.tokenizer.winograd import Convolution3x3

LOGIT_LAPLACE_EPSILON = 0.1
"""Pixels are mapped from [0, 1] into [epsilon, 1 - epsilon], away from where the logit has no value."""


class BottleneckBlock(nn.Module):
    """`shortcut(x) + gain * (four convolutions, each after a ReLU)`, the inner ones a quarter as wide.

    The gain is 1 / (number of blocks in the network)^2, so that a deep network without normalisation starts close to
    its shortcuts.

    Args:
        in_channels: channels that come.
        out_channels: channels that leave, divisible by 4.
        kernels: sides of the four kernels: 3, 3, 3, 1 in the encoder and 1, 3, 3, 3 in the decoder.
        gain: factor of what is added.

    Example:
        >>> import torch
        >>> BottleneckBlock(8, 16, kernels=(3, 3, 3, 1), gain=0.1)(torch.zeros(1, 8, 4, 4)).shape
        torch.Size([1, 16, 4, 4])

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), appendix A.2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernels: Sequence[int], gain: float) -> None:
        super().__init__()
        inner = out_channels // 4
        widths = (in_channels, inner, inner, inner, out_channels)
        self.convolutions = nn.ModuleList(
            fan_in_convolution(widths[index], widths[index + 1], kernel) for index, kernel in enumerate(kernels)
        )
        changes = in_channels != out_channels
        self.shortcut = fan_in_convolution(in_channels, out_channels, 1) if changes else nn.Identity()
        self.gain = gain

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d H W"]:
        """(b, in_channels, H, W) -> (b, out_channels, H, W)."""
        out = x
        for convolution in self.convolutions:
            out = convolution(F.relu(out))
        return torch.add(self.shortcut(x), out, alpha=self.gain)


def fan_in_convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size, with weights drawn from N(0, 1 / fan-in) and no bias at first.

    Args:
        in_channels: channels that come.
        out_channels: channels that leave.
        kernel: side of the kernel, odd.

    Returns:
        The layer.
    """
    if kernel == 3:
        convolution: nn.Conv2d = Convolution3x3(in_channels, out_channels)
    else:
        convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    nn.init.normal_(convolution.weight, std=(in_channels * kernel**2) ** -0.5)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


def check_dvae_sizes(channels: int, levels: int, blocks: int) -> None:
    """Raise ValueError where the sizes of an encoder or decoder make no network."""
    if channels < 4 or channels % 4 or levels < 1 or blocks < 1:
        raise ValueError(
            "channels must be a positive multiple of 4, levels and blocks >= 1, got "
            f"channels={channels}, levels={levels}, blocks={blocks}"
        )
