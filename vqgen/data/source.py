"""What every source of images offers: sizes, class names, a fingerprint, and two splits of images in [-1, 1]."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

Split = Literal["train", "validation"]


class ImageBatch(NamedTuple):
    """Images in [-1, 1] with their labels; one item of a data set has the same shape without the batch axis.

    Example:
        >>> batch = ImageBatch(images=torch.zeros(2, 3, 8, 8), labels=torch.tensor([4, -1]))
        >>> batch.images.shape, batch.labels.tolist()
        (torch.Size([2, 3, 8, 8]), [4, -1])
    """

    images: Float[Tensor, "*b c H W"]
    labels: Int64[Tensor, "*b"]  # -1 = no label


class ImageDataset(Dataset[ImageBatch], ABC):
    """A fixed list of images that can be read many at a time.

    A new kind of data set gives `labels` and `read`; indexing, batched indexing by a `DataLoader` and the default
    collation follow from them.

    Example:
        >>> class Grey(ImageDataset):
        ...     labels = torch.tensor([0, 1])
        ...
        ...     def read(self, indices, seeds=None):
        ...         return torch.zeros(len(indices), 3, 8, 8)
        >>> Grey()[1].labels
        tensor(1)
        >>> next(iter(torch.utils.data.DataLoader(Grey(), batch_size=2))).images.shape
        torch.Size([2, 3, 8, 8])
    """

    labels: Int64[Tensor, " n"]

    @abstractmethod
    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> Float[Tensor, "b c H W"]:
        """The images at these indices, in [-1, 1].

        Args:
            indices: b numbers in [0, len(self)).
            seeds: one number per image that decides whatever is random in reading it (a random crop, say); None reads
                the image without randomness. A data set in which nothing is random ignores it.
        """

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> ImageBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), got {index}")
        index %= len(self)
        return ImageBatch(self.read([index])[0], self.labels[index])

    def __getitems__(self, indices: Sequence[int]) -> list[ImageBatch]:
        images = self.read(indices)
        return list(map(ImageBatch, images.unbind(), self.labels[torch.as_tensor(indices)].unbind()))


class ImageSource(ABC):
    """Where images come from: everything a model must know about them, and their two splits.

    To bring your own, derive from this class, set the four attributes in the constructor and write `split`.
    """

    image_size: tuple[int, int]  # (H, W)
    channels: int
    class_names: tuple[str, ...]  # empty: no labels, and every label is -1
    fingerprint: str  # short hash of everything that decides the pixels, the labels and the order of items

    @abstractmethod
    def split(self, name: Split) -> ImageDataset:
        """The images of one split, always in the same order.

        The first call makes what has to be made (downloads, renders); a data module therefore calls it on one
        process before the others.
        """


def as_image_size(size: int | tuple[int, int], *, argument: str = "size") -> tuple[int, int]:
    """Read a size given as one side or as (H, W).

    Args:
        size: pixels per side, or (H, W).
        argument: the name to use in the error.

    Returns:
        (H, W).

    Raises:
        ValueError: if a side is below 1 pixel.

    Example:
        >>> as_image_size(64), as_image_size((32, 48))
        ((64, 64), (32, 48))
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"{argument} must be at least 1 pixel a side, got {size}; pass one side or (height, width)")
    return height, width
