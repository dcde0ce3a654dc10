"""Images held in memory as bytes: the fast path for everything small enough."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from vqgen.data.source import ImageDataset


class ArrayImages(ImageDataset):
    """Images in one uint8 tensor, turned into [-1, 1] a batch at a time: x / 127.5 - 1.

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

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> Float[Tensor, "b c H W"]:
        """The images at these indices; nothing here is random, so `seeds` changes nothing."""
        return to_unit_range(self.images[torch.as_tensor(indices, dtype=torch.int64)])


def to_unit_range(images: UInt8[Tensor, "*b c H W"]) -> Float[Tensor, "*b c H W"]:
    """Bytes to floats: 0..255 becomes [-1, 1].

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
