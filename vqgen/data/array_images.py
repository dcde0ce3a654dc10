"""Images held in memory as bytes: the fast path for everything small enough."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vqgen.data.source import ImageDataset


class ArrayImages(ImageDataset):
    """Images in one uint8 tensor.

    Args:
        images: (n, c, H, W) bytes, 0 black to 255 white.
        labels: (n,) class numbers, -1 for none; None gives -1 to all.

    Raises:
        ValueError: if there are not as many labels as images.

    Example:
        >>> dataset = ArrayImages(torch.full((5, 3, 8, 8), 255, dtype=torch.uint8))
        >>> len(dataset), dataset[0].images.max().item(), dataset[0].labels.item()
        (5, 1.0, -1)
    """

    def __init__(self, images: UInt8[Tensor, "n c H W"], labels: Int64[Tensor, " m"] | None = None) -> None:
        if labels is None:
            labels = torch.full((len(images),), -1)
        if len(images) != len(labels):
            raise ValueError(f"images and labels must be equally many, got {len(images)} and {len(labels)}")
        self.images = images
        self.labels = labels

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b c H W"]:
        """The pixels at these indices; nothing here is random, so `seeds` changes nothing."""
        # index_select is some 20 times as fast here as indexing with brackets.
        return self.images.index_select(0, torch.as_tensor(indices, dtype=torch.int64))
