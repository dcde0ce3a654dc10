"""LPIPS: VGG16's features, weighted to agree with human judgement."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.losses.base import ImageLoss
from vqgen.losses.feature_distance import feature_distance
from vqgen.losses.frozen import freeze

# VGG16's layers are cut after the last ReLU before each pooling: relu1_2, 2_2, 3_3, 4_3, 5_3.
CUTS = (0, 4, 9, 16, 23, 30)


class LPIPS(ImageLoss):
    """Learned perceptual image patch similarity, with VGG16 (version 0.1).

    Channel vectors of unit length from five layers, squared difference, weighted by channel, mean over places, sum over
    layers. The channel weights come with torchmetrics. VGG16's come through torchvision, which downloads them (528 MB)
    when first used. In fp32 outside autocast; under autocast the features are computed in its type.

    Args:
        pretrained: VGG16's ImageNet weights; False leaves random ones (for tests).

    Raises:
        FileNotFoundError: if VGG16's weights are neither in torch's cache nor to be downloaded.

    Example:
        >>> distance = LPIPS(pretrained=False)
        >>> images = torch.rand(1, 3, 32, 32)
        >>> distance(images, images).item()
        0.0

    Source: Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric (1801.03924).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.pretrained = pretrained
        layers = vgg16_layers(pretrained)
        self.slices = nn.ModuleList(layers[begin:end] for begin, end in pairwise(CUTS))
        freeze(self.slices)
        for name, values in (("shift", (-0.030, -0.088, -0.188)), ("scale", (0.458, 0.448, 0.450))):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        for index, weight in enumerate(channel_weights()):
            self.register_buffer(f"weight{index}", weight, persistent=False)

    def forward(self, reconstructions: Float[Tensor, "b c H W"], images: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
        """Compare.

        Args:
            reconstructions: (b, 1 or 3, H, W), sides of 16 or more.
            images: (b, 1 or 3, H, W) in [-1, 1]; no gradient passes to them.

        Returns:
            The mean distance, a scalar.
        """
        with torch.no_grad():
            target = self._features(images)
        weights = [self.get_buffer(f"weight{index}") for index in range(len(self.slices))]
        return feature_distance(self._features(reconstructions), target, weights).mean()

    def _features(self, images: Float[Tensor, "b c H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"expected images with 1 or 3 channels, got {images.shape[1]}; pass grey or RGB images")
        x = (images - self.shift) / self.scale
        maps = []
        for part in self.slices:
            x = part(x)
            maps.append(x)
        return maps


def channel_weights() -> list[Float[Tensor, "_"]]:
    """LPIPS's weight of each channel of each layer, from the file that torchmetrics ships."""
    package = importlib.util.find_spec("torchmetrics")
    assert package is not None  # a dependency of vqgen
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "functional" / "image" / "lpips_models" / "vgg.pth"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    return [weights[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(CUTS) - 1)]


def vgg16_layers(pretrained: bool) -> nn.Sequential:
    """VGG16's convolutions, without its classifier.

    Args:
        pretrained: with ImageNet weights.

    Returns:
        The layers.

    Raises:
        FileNotFoundError: if the weights are neither in torch's cache nor to be downloaded.
    """
    from torchvision.models import VGG16_Weights, vgg16  # takes seconds to import

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        layers = vgg16(weights=weights if pretrained else None).features
    except (OSError, RuntimeError) as error:
        name = weights.url.rpartition("/")[2]
        raise FileNotFoundError(
            f"LPIPS needs VGG16's ImageNet weights, and they could not be downloaded ({error}); fetch {weights.url} "
            f"elsewhere and put it at {Path(torch.hub.get_dir()) / 'checkpoints' / name}, or use Lite0Distance, which "
            "needs no download"
        ) from error
    assert isinstance(layers, nn.Sequential)
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # a feature map must outlive the layer after it
    return layers
