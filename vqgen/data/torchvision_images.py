"""Any data set that torchvision knows by a class name."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.data.array_images import ArrayImages
from vqgen.data.cache import short_hash
from vqgen.data.decode import Channels
from vqgen.data.draws import mix
from vqgen.data.resize import resize_and_crop
from vqgen.data.source import ImageDataset, ImageSource, Split, as_image_size
from vqgen.data.torchvision_reading import ItemImages, find_dataset, open_split, pixels_of, split_parameter, targets_of


class TorchvisionImages(ImageSource):
    """A data set of `torchvision.datasets` (FashionMNIST, CIFAR10, CelebA, ImageNet ...), by its class name.

    Its train split is for training; its validation split, or its test split if it has no other, for validation. A data
    set without splits is divided by a hash of the item's number.

    Args:
        name: the class, such as "FashionMNIST".
        root: the folder that torchvision looks in.
        size: pixels per side, or (H, W); images are scaled until they just cover it, and the centre is cut.
        channels: 3 for colour (grey images are repeated), 1 for grey.
        labels: whether to take the data set's classes.
        download: let torchvision fetch the files if they are not there.
        options: further arguments of the data set's constructor, for both splits, such as `{"split": "letters"}` for
            EMNIST or `{"size": 100}` for FakeData.
        validation_fraction: share of the items held out where the data set has no splits, in [0, 1].

    Raises:
        ValueError: if torchvision has no such data set, or the fraction or the size is out of range.
        FileNotFoundError: when it is first read, if the files are not where torchvision expects them.

    Example:
        >>> source = TorchvisionImages("FakeData", "unused", 16, options={"size": 20, "image_size": (3, 20, 24)})
        >>> len(source.split("train")) + len(source.split("validation"))
        20
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        size: int | tuple[int, int],
        *,
        channels: Channels = 3,
        labels: bool = True,
        download: bool = False,
        options: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.05,
    ) -> None:
        if not 0 <= validation_fraction <= 1:
            raise ValueError(f"validation_fraction must lie in [0, 1], got {validation_fraction}")
        self.name = name
        self.root = root
        self.size = size
        self.channels: Channels = channels
        self.labels = labels
        self.download = download
        self.options = options
        self.validation_fraction = validation_fraction
        self.image_size = as_image_size(size)
        self._dataset_class = find_dataset(name)
        self._opened: dict[Split, tuple[Any, Int64[Tensor, " n"]]] = {}

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The data set's classes by its own names, or by their numbers where it has none; opens the training split."""
        if not self.labels:
            return ()
        dataset, targets = self._open("train")
        count = int(targets.max()) + 1 if len(targets) else 0
        names = getattr(dataset, "classes", ())
        return tuple(str(name) for name in (names if len(names) >= count else range(count))) if count else ()

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the data set's name, options and targets, and of how it is read; opens both splits."""
        return short_hash(
            {
                "source": "TorchvisionImages",
                "name": self.name,
                "options": sorted((key, repr(value)) for key, value in (self.options or {}).items()),
                "targets": [self._open("train")[1].tolist(), self._open("validation")[1].tolist()],
                "validation_fraction": self.validation_fraction,
                "size": self.image_size,
                "channels": self.channels,
                "labels": self.labels,
            }
        )

    def split(self, name: Split) -> ImageDataset:
        """The images of one split: in memory if the data set keeps its pixels in one array, else read one by one.

        Args:
            name: "train" or "validation".

        Returns:
            The data set.

        Raises:
            FileNotFoundError: if the files are not where torchvision expects them.
        """
        dataset, targets = self._open(name)
        chosen = torch.arange(len(dataset))
        if split_parameter(self._dataset_class, self.options or {}) is None:
            ranks = torch.from_numpy(mix(0, range(len(dataset))) / 2.0**64)
            chosen = chosen[(ranks < self.validation_fraction) == (name == "validation")]
        labels = targets[chosen] if self.labels else torch.full((len(chosen),), -1)
        pixels = pixels_of(dataset)
        if pixels is None or pixels.shape[1] > self.channels:
            return ItemImages(dataset, chosen.tolist(), labels, size=self.image_size, channels=self.channels)
        pixels = pixels[chosen]
        blocks = [resize_and_crop(pixels[at : at + 1024], self.image_size) for at in range(0, len(pixels), 1024)]
        return ArrayImages(torch.cat(blocks).expand(-1, self.channels, -1, -1), labels)

    def _open(self, name: Split) -> tuple[Any, Int64[Tensor, " n"]]:
        """The data set of one split and its targets; opened once."""
        if name not in self._opened:
            dataset = open_split(
                self._dataset_class, name, Path(self.root), download=self.download, options=self.options or {}
            )
            self._opened[name] = dataset, targets_of(dataset)
        return self._opened[name]
