"""The perceptual distance that needs no download."""

from collections.abc import Sequence
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.losses.base import ImageLoss
from vqgen.losses.feature_distance import feature_distance
from vqgen.losses.lite0 import Lite0


class Lite0Distance(ImageLoss):
    """Distance of images in the features of EfficientNet-lite0, compared as LPIPS compares VGG's.

    Channel vectors of unit length, squared difference, mean over places and over the chosen taps: 0 for equal images,
    4 at most. No weights were fitted to human judgements, as LPIPS's were.

    Args:
        taps: which of the network's five feature maps (strides 2, 4, 8, 16, 32), each in 0 to 4.
        pretrained: ImageNet weights, from the extra `lite0`; False leaves random ones (for tests).
        size: side in pixels to which both are resized first; None takes them as they are.

    Raises:
        ModuleNotFoundError: if the package with the weights is not installed.
        ValueError: if there is no tap, or no such tap.

    Example:
        >>> distance = Lite0Distance(pretrained=False)
        >>> images = torch.rand(2, 3, 32, 32)
        >>> distance(images, images).item()
        0.0

    Source: LPIPS (1801.03924) for the comparison.
    """

    def __init__(self, taps: Sequence[int] = (0, 1, 2, 3), *, pretrained: bool = True, size: int | None = None) -> None:
        super().__init__()
        if not taps or not set(taps) <= set(range(len(Lite0.tap_channels))):
            raise ValueError(f"taps must be one or more of 0 to {len(Lite0.tap_channels) - 1}, got {tuple(taps)}")
        self.taps = tuple(taps)
        self.pretrained = pretrained
        self.size = size
        self.network = Lite0(pretrained=pretrained, size=size)

    def forward(self, reconstructions: Float[Tensor, "b c H W"], images: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
        """Compare.

        Args:
            reconstructions: (b, 1 or 3, H, W).
            images: (b, 1 or 3, H, W) in [-1, 1]; no gradient passes to them.

        Returns:
            The mean distance, a scalar in [0, 4].
        """
        with torch.no_grad():
            target = self._features(images)
        weights = [images.new_ones(Lite0.tap_channels[tap], dtype=torch.float32) / len(self.taps) for tap in self.taps]
        return feature_distance(self._features(reconstructions), target, weights).mean()

    def _features(self, images: Float[Tensor, "b c H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        maps = list(islice(self.network.taps(images), max(self.taps) + 1))
        return [maps[tap] for tap in self.taps]
