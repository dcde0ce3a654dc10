"""The discriminator of VQGAN."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

Normalisation = Literal["batch", "group", "none"]


class PatchDiscriminator(nn.Module):
    """PatchGAN: a small convolutional network that judges overlapping patches rather than whole images.

    Convolutions of 4 x 4: `layers` of them halve the resolution and double the width (up to 8 times), then one keeps
    the resolution and one gives a single channel. Weights start from N(0, 0.02).

    Args:
        in_channels: channels of the images.
        channels: width of the first convolution.
        layers: convolutions that halve the resolution, >= 1; 3 sees patches of 70 pixels, 2 of 34, 1 of 16.
        normalisation: `batch` is the paper's; its statistics mix the images of a batch, so with small batches, several
            processes or a gradient penalty take `group` (groups of 16 channels) or `none`.

    Raises:
        ValueError: if a size is out of range.

    Example:
        >>> import torch
        >>> discriminator = PatchDiscriminator(channels=16, layers=2)
        >>> discriminator(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1, 6, 6])

    Source: pix2pix (1611.07004), section 3.2.2; VQGAN (2012.09841) uses it with 3 layers of width 64.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 64,
        layers: int = 3,
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        if min(in_channels, channels, layers) < 1:
            raise ValueError(
                f"in_channels, channels and layers must be >= 1, got {in_channels}, {channels} and {layers}"
            )
        if normalisation not in ("batch", "group", "none"):
            raise ValueError(f"normalisation must be 'batch', 'group' or 'none', got {normalisation!r}")
        self.in_channels = in_channels
        self.channels = channels
        self.layers = layers
        self.normalisation = normalisation

        body: list[nn.Module] = [nn.Conv2d(in_channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = channels
        for layer in range(1, layers + 1):
            out = channels * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            # A bias before batch or group norm would be taken out again.
            body.append(nn.Conv2d(width, out, 4, stride=stride, padding=1, bias=normalisation == "none"))
            body += [*_norm(normalisation, out), nn.LeakyReLU(0.2)]
            width = out
        body.append(nn.Conv2d(width, 1, 4, padding=1))
        self.body = nn.Sequential(*body)
        self.apply(_initialise)

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b 1 h w"]:
        """Judge.

        Args:
            images: (b, in_channels, H, W) in [-1, 1].

        Returns:
            (b, 1, H / 2**layers - 2, W / 2**layers - 2) logits: above 0 says real.

        Raises:
            ValueError: if the channels do not fit, or a side is too small for a patch.
        """
        if images.shape[1] != self.in_channels:
            raise ValueError(
                f"the discriminator expects {self.in_channels} channels, got {images.shape[1]}; set its in_channels"
            )
        smallest = 3 * 2**self.layers
        if min(images.shape[-2:]) < smallest:
            raise ValueError(
                f"a discriminator of {self.layers} layers needs images of {smallest} x {smallest} or more, "
                f"got {images.shape[-2]} x {images.shape[-1]}; give it fewer layers"
            )
        return self.body(images)


def _norm(normalisation: Normalisation, channels: int) -> list[nn.Module]:
    if normalisation == "batch":
        return [nn.BatchNorm2d(channels)]
    if normalisation == "group":
        return [nn.GroupNorm(max(1, channels // 16) if channels % 16 == 0 else 1, channels)]
    return []


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
