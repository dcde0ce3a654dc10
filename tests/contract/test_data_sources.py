"""What every image source promises, whichever it is."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from vqgen.data import (
    Augmented,
    ImageBatch,
    ImageFolder,
    ImageSource,
    OpenMoji,
    SyntheticImages,
    TorchvisionImages,
)


def folder_source(root: Path) -> ImageFolder:
    for number in range(12):
        path = root / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20), (20 * number, 255 - 20 * number, 99)).save(path)
    return ImageFolder(root / "images", (16, 24), validation_fraction=0.2, cache=root)


def fake_source(root: Path) -> TorchvisionImages:
    options = {"size": 24, "image_size": (3, 20, 20), "num_classes": 3}
    return TorchvisionImages("FakeData", root, (16, 24), options=options, validation_fraction=0.2)


SOURCES: dict[str, Callable[[Path], ImageSource]] = {
    "OpenMoji": lambda root: OpenMoji((16, 24), cache=root),
    "ImageFolder": folder_source,
    "TorchvisionImages": fake_source,
    "SyntheticImages": lambda _: SyntheticImages(12, (16, 24)),
}


@pytest.fixture(scope="module", params=SOURCES)
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ImageSource]:
    root = tmp_path_factory.mktemp(request.param)
    return lambda: SOURCES[request.param](root)


def test_every_source_is_tried_here() -> None:
    subclasses = {cls.__name__ for cls in ImageSource.__subclasses__() if cls.__module__.startswith("vqgen.")}
    # Codes without images, and maps that go with another source's images, are tested with what they go with.
    assert subclasses == set(SOURCES) | {"CodesAlone", "LabelMapImages"}


@pytest.mark.parametrize("name", ["train", "validation"])
def test_images_have_the_promised_size_and_range(make: Callable[[], ImageSource], name: str) -> None:
    source = make()
    dataset = source.split(name)
    assert len(dataset) >= 2
    batch = dataset.batch([0, len(dataset) - 1])
    assert isinstance(batch, ImageBatch)
    assert batch.images.shape == (2, source.channels, *source.image_size)
    assert batch.images.dtype == torch.float32
    assert -1 <= batch.images.min() < batch.images.max() <= 1
    assert torch.equal(dataset[0].images, batch.images[0])


@pytest.mark.parametrize("name", ["train", "validation"])
def test_labels_are_class_numbers(make: Callable[[], ImageSource], name: str) -> None:
    source = make()
    labels = source.split(name).labels
    assert labels.dtype == torch.int64
    assert source.class_names
    assert -1 <= labels.min() <= labels.max() < len(source.class_names)


def test_made_again_a_source_gives_the_same(make: Callable[[], ImageSource]) -> None:
    one, other = make(), make()
    assert one.fingerprint == other.fingerprint
    assert one.class_names == other.class_names
    for name in ("train", "validation"):
        first, second = one.split(name), other.split(name)
        assert torch.equal(first.labels, second.labels)
        assert torch.equal(first.read(range(len(first)))[::7], second.read(range(len(second)))[::7])


def test_every_constructor_argument_is_kept(make: Callable[[], ImageSource]) -> None:
    source = make()
    names = [name for name in inspect.signature(type(source).__init__).parameters if name != "self"]
    assert names
    assert all(hasattr(source, name) for name in names)


def test_draws_of_any_source_are_repeatable(make: Callable[[], ImageSource]) -> None:
    dataset = make().split("train")
    augmented = Augmented(dataset, seed=1, flip=True, shift=2)
    draws = [0, len(dataset), 5 * len(dataset) + 1]
    together = augmented.batch(draws)
    for index, draw in enumerate(draws):
        assert torch.equal(augmented[draw].images, together.images[index])
        assert together.labels[index] == dataset.labels[draw % len(dataset)]
