from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from vqgen.data import ArrayImages, TorchvisionImages
from vqgen.data.torchvision_reading import find_dataset, open_split, pixels_of, split_parameter, targets_of


def fake(**options: Any) -> TorchvisionImages:
    arguments = {"size": 40, "image_size": (3, 12, 10), "num_classes": 3}
    return TorchvisionImages("FakeData", "unused", 8, options=arguments, validation_fraction=0.3, **options)


def test_a_data_set_without_splits_is_divided() -> None:
    train, validation = fake().split("train"), fake().split("validation")
    assert len(train) + len(validation) == 40
    assert 4 <= len(validation) <= 20
    together = torch.cat([dataset.read(range(len(dataset))).flatten(1) for dataset in (train, validation)])
    assert len(together.unique(dim=0)) == 40


def test_items_are_resized_and_labelled() -> None:
    source = fake()
    train = source.split("train")
    original = datasets.FakeData(size=40, image_size=(3, 12, 10), num_classes=3)
    assert train.batch(range(3)).images.shape == (3, 3, 8, 8)
    targets = torch.tensor([original[index][1] for index in train.chosen])  # type: ignore[attr-defined]
    assert torch.equal(train.labels, targets)
    assert source.class_names == ("0", "1", "2")


def test_labels_and_colours_can_be_left_out() -> None:
    source = fake(labels=False, channels=1)
    assert source.class_names == ()
    assert set(source.split("train").labels.tolist()) == {-1}
    assert source.split("train")[0].images.shape == (1, 8, 8)


def test_fingerprint_follows_name_and_options() -> None:
    prints = [
        fake().fingerprint,
        fake(labels=False).fingerprint,
        fake(channels=1).fingerprint,
        TorchvisionImages("FakeData", "unused", 8, options={"size": 41, "image_size": (3, 12, 10)}).fingerprint,
    ]
    assert fake().fingerprint == prints[0]
    assert len(set(prints)) == len(prints)


def test_an_unknown_name_is_refused_with_those_like_it() -> None:
    with pytest.raises(
        ValueError, match="torchvision has no data set called 'FashionMnist'; did you mean FashionMNIST"
    ):
        TorchvisionImages("FashionMnist", "unused", 32)
    with pytest.raises(ValueError, match=r"'qqqq'; see torchvision\.datasets for the names"):
        TorchvisionImages("qqqq", "unused", 32)


def test_missing_files_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    source = TorchvisionImages("CIFAR10", tmp_path / "nothing", 32)
    with pytest.raises(FileNotFoundError, match=r"finds no CIFAR10 in .*nothing .*; pass download=True, or put its"):
        source.split("train")


@pytest.mark.parametrize(
    ("name", "options", "parameter"),
    [
        ("CIFAR10", {}, "train"),
        ("FashionMNIST", {}, "train"),
        ("EMNIST", {"split": "letters"}, "train"),
        ("SVHN", {}, "split"),
        ("ImageNet", {}, "split"),
        ("CelebA", {}, "split"),
        ("VOCDetection", {}, "image_set"),
        ("FakeData", {}, None),
        ("Caltech101", {}, None),
    ],
)
def test_the_parameter_that_chooses_the_split(name: str, options: dict[str, Any], parameter: str | None) -> None:
    assert split_parameter(find_dataset(name), options) == parameter


def test_split_names_are_tried_until_one_is_known() -> None:
    class Valid:
        def __init__(self, root: Path, split: str = "train") -> None:
            if split not in ("train", "valid"):
                raise ValueError(f"Unknown value '{split}' for argument split")
            self.split = split

    assert open_split(Valid, "validation", Path("x"), download=True, options={}).split == "valid"

    class Odd:
        def __init__(self, root: Path, split: str) -> None:
            raise ValueError(f"Unknown value '{split}'")

    with pytest.raises(ValueError, match=r"Odd could not be opened for train: Unknown value 'train' \| Unknown"):
        open_split(Odd, "train", Path("x"), download=False, options={})


class Arrays:
    """As the CIFAR and MNIST classes of torchvision: all pixels in `data`."""

    def __init__(self, data: Any, transpose: bool = False) -> None:
        self.data = data
        self.targets = [3, 1]
        self.transpose = transpose

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        pixels = np.asarray(self.data[index])
        return Image.fromarray(pixels.T if self.transpose else pixels), self.targets[index]


def test_pixels_are_taken_at_once_from_known_layouts() -> None:
    grey = torch.arange(2 * 16, dtype=torch.uint8).view(2, 4, 4)
    colour = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert torch.equal(pixels_of(Arrays(grey)), grey[:, None])  # type: ignore[arg-type]
    assert torch.equal(pixels_of(Arrays(colour)), torch.from_numpy(colour).permute(0, 3, 1, 2))  # type: ignore[arg-type]
    assert targets_of(Arrays(grey)).tolist() == [3, 1]


def test_pixels_are_not_taken_if_indexing_gives_others() -> None:
    grey = torch.arange(2 * 16, dtype=torch.uint8).view(2, 4, 4)
    assert pixels_of(Arrays(grey, transpose=True)) is None
    assert pixels_of(Arrays(grey.float())) is None


def test_targets_that_are_no_numbers_are_no_labels() -> None:
    class Captions:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[None, object]:
            return None, ("a cat", 7)[index]

    assert targets_of(Captions()).tolist() == [-1, 7]


def test_whole_arrays_are_resized_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = torch.arange(2 * 16, dtype=torch.uint8).view(2, 4, 4)
    source = TorchvisionImages("MNIST", "unused", 4)
    monkeypatch.setattr(source, "_dataset_class", lambda **_: Arrays(data))
    monkeypatch.setattr("vqgen.data.torchvision_reading._parameters", lambda _: {"root", "train"})
    train = source.split("train")
    assert isinstance(train, ArrayImages)
    assert torch.equal(train.read([1, 0]), data[[1, 0], None].expand(-1, 3, -1, -1))
    assert source.class_names == ("0", "1", "2", "3")
