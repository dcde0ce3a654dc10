"""What every source of images offers: sizes, class names, a fingerprint, and two splits of images in [-1, 1]."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


class ImageBatch(NamedTuple):
    """Images in [-1, 1] with their labels; one item of a data set has the same shape without the batch axis.

    Example:
        >>> batch = ImageBatch(images=torch.zeros(2, 3, 8, 8), labels=torch.tensor([4, -1]))
        >>> batch.images.shape, batch.labels.tolist()
        (torch.Size([2, 3, 8, 8]), [4, -1])
    """

    images: Float[Tensor, "*b c H W"]
    labels: Int64[Tensor, "*b"]  # -1 = no label


class Caption(NamedTuple):
    """What an image shows, in words.

    Example:
        >>> Caption("red apple", ("fruit", "food")).text
        'red apple'
    """

    text: str
    tags: tuple[str, ...] = ()  # what else it is called


class ImageDataset(Dataset[ImageBatch], ABC):
    """A fixed list of images that can be read many at a time.

    A new kind of data set gives `labels` and `read`; the rest follows from them.

    Example:
        >>> class Black(ImageDataset):
        ...     labels = torch.tensor([0, 1])
        ...
        ...     def read(self, indices, seeds=None):
        ...         return torch.zeros(len(indices), 3, 8, 8, dtype=torch.uint8)
        >>> Black()[1].images.unique(), Black().batch([0, 1, 1]).labels
        (tensor([-1.]), tensor([0, 1, 1]))
    """

    labels: Int64[Tensor, " n"]
    slow_to_read: bool = False  # whether reading is worth processes of its own, as decoding files is

    @abstractmethod
    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b c H W"]:
        """The pixels at these indices, 0 black to 255 white.

        Args:
            indices: b numbers in [0, len(self)).
            seeds: one number per image that decides whatever is random in reading it (a random crop, say); None reads
                the image without randomness. A data set in which nothing is random ignores it.
        """

    def stamps(self) -> npt.NDArray[np.uint64] | None:
        """A number for each image, (n,), that changes when the image does; None if the data set cannot tell."""
        return None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> ImageBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), got {index}")
        image, label = self.batch([index % len(self)])
        return ImageBatch(image[0], label[0])

    def batch(self, indices: Sequence[int]) -> ImageBatch:
        """The images at these indices with their labels; much faster than one by one."""
        return ImageBatch(to_unit_range(self.read(indices)), self.labels[torch.as_tensor(indices)])


def to_unit_range(images: UInt8[Tensor, "*b c H W"]) -> Float[Tensor, "*b c H W"]:
    """Bytes to floats: 0..255 becomes [-1, 1], x / 127.5 - 1.

    Example:
        >>> to_unit_range(torch.tensor([[[0, 255]]], dtype=torch.uint8))
        tensor([[[-1.,  1.]]])
    """
    return images.float().div_(127.5).sub_(1.0)


def to_bytes(images: Float[Tensor, "*b c H W"]) -> UInt8[Tensor, "*b c H W"]:
    """Floats to bytes, the inverse of `to_unit_range`: values outside [-1, 1] are clipped, the rest rounded.

    Example:
        >>> to_bytes(torch.tensor([[[-1.5, 0.0, 1.0]]]))
        tensor([[[  0, 128, 255]]], dtype=torch.uint8)
    """
    return images.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


class ImageSource(ABC):
    """Where images come from: everything a model must know about them, and their two splits.

    To bring your own, derive from this class, set `image_size` and `channels`, and write the
    other three.
    """

    image_size: tuple[int, int]  # (H, W)
    channels: int

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The name of every class, by its number; empty if there are no labels, and every label is -1."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Short hash of everything that decides the pixels, the labels and the order of items."""

    @abstractmethod
    def split(self, name: Split) -> ImageDataset:
        """The images of one split, always in the same order.

        The first call makes what has to be made (downloads, renders); a data module therefore calls it on one
        process before the others.
        """

    def unchecked(self) -> "ImageSource":
        """The same images without looking at them beforehand, for those who read each of them once and then stop."""
        return self

    def captions(self, name: Split) -> tuple[Caption, ...]:
        """The caption of every image of a split, in its order; none if the source has no captions.

        Args:
            name: "train" or "validation".

        Returns:
            One for each image, or an empty tuple.
        """
        return ()


def as_image_size(size: int | tuple[int, int], *, argument: str = "size") -> tuple[int, int]:
    """Read a size given as one side or as (H, W).

    Args:
        size: pixels per side, or (H, W).
        argument: the name to use in the error.

    Returns:
        (H, W).

    Raises:
        ValueError: if a side is below 2 pixels.

    Example:
        >>> as_image_size(64), as_image_size((32, 48))
        ((64, 64), (32, 48))
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 2 or width < 2:
        raise ValueError(f"{argument} must be at least 2 pixels a side, got {size}; pass one side or (height, width)")
    return height, width
