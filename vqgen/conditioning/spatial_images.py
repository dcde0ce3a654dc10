"""From an image to the grid that a prior is conditioned on: the image is changed, then encoded."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

ImageTransform = Callable[[Tensor], Tensor]


@runtime_checkable
class GridEncoder(Protocol):
    """What is needed of a tokenizer here."""

    @property
    def codebook_size(self) -> int:
        """Number of codes."""

    @property
    def downsampling(self) -> int:
        """Pixels per cell side."""

    @property
    def depth(self) -> int:
        """Codes a cell."""

    def encode(self, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b h w"]:
        """Codes of images in [-1, 1]."""

    def fingerprint(self) -> str:
        """A name that changes with the codes it gives."""


def grey(images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    """Take the colour out: every channel becomes the luma 0.299 R + 0.587 G + 0.114 B.

    Args:
        images: (b, c, H, W) in [-1, 1], one or three channels.

    Returns:
        The same shape.

    Example:
        >>> red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
        >>> grey(red).flatten()
        tensor([-0.4020, -0.4020, -0.4020])

    Source: ITU-R BT.601, section 2.5.1.
    """
    if images.shape[1] == 1:
        return images
    weights = torch.tensor((0.299, 0.587, 0.114), device=images.device, dtype=images.dtype)
    return torch.einsum("bchw,c->bhw", images, weights)[:, None].expand_as(images)


def low_resolution(images: Float[Tensor, "b c H W"], factor: int) -> Float[Tensor, "b c H W"]:
    """Take the detail out: means over squares of pixels, brought back to size by bicubic interpolation.

    Args:
        images: (b, c, H, W) in [-1, 1].
        factor: pixels per side of a square, >= 1; divides H and W.

    Returns:
        The same shape, in [-1, 1].

    Raises:
        ValueError: when the factor does not divide the size.

    Example:
        >>> low_resolution(torch.ones(1, 3, 8, 8), factor=4).unique().tolist()
        [1.0]
    """
    height, width = images.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(f"expected a factor that divides {height} x {width} pixels, got low-resolution:{factor}")
    small = F.avg_pool2d(images, factor)
    return F.interpolate(small, (height, width), mode="bicubic").clamp(-1.0, 1.0)


def _same(images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    return images


def image_transform(name: str) -> ImageTransform:
    """Find what is done to an image before it becomes a condition.

    Args:
        name: ``grey`` (colourisation), ``low-resolution:FACTOR`` (super-resolution), or ``same``, the image as it is,
            for another tokenizer.

    Returns:
        A function from images (b, c, H, W) in [-1, 1] to images of the same shape.

    Raises:
        ValueError: when there is none of that name.

    Example:
        >>> image_transform("low-resolution:2")(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 3, 4, 4])
    """
    kind, _, factor = name.partition(":")
    if name == "grey":
        return grey
    if name == "same":
        return _same
    if kind == "low-resolution" and factor.isdigit() and int(factor) >= 1:
        return partial(low_resolution, factor=int(factor))
    raise ValueError(f"transform must be grey, same or low-resolution:FACTOR, such as low-resolution:4, got {name!r}")


class GridOfImages(nn.Module):
    """Images to the grids that a prior is conditioned on: ``tokenizer.encode(transform(images))``.

    It encodes as a tokenizer does, so codes are computed and kept by the same means.

    Args:
        tokenizer: encodes the changed images; the one of the images themselves, or another.
        transform: see `image_transform`.

    Raises:
        ValueError: when the transform is unknown.

    Example:
        >>> class Brightness:
        ...     codebook_size, downsampling, depth = 2, 4, 1
        ...
        ...     def encode(self, images):
        ...         return (F.avg_pool2d(images.mean(1), 4) > 0).long()
        ...
        ...     def fingerprint(self):
        ...         return "brightness"
        >>> GridOfImages(Brightness(), "grey").encode(torch.ones(1, 3, 8, 4)).tolist()
        [[[1], [1]]]
    """

    def __init__(self, tokenizer: GridEncoder, transform: str = "grey") -> None:
        super().__init__()
        self.transform = transform
        self.tokenizer = tokenizer
        self._change = image_transform(transform)

    @property
    def device(self) -> torch.device:
        """Where it encodes."""
        parameter = next(self.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @property
    def codebook_size(self) -> int:
        """Number of codes of the condition."""
        return self.tokenizer.codebook_size

    @property
    def downsampling(self) -> int:
        """Pixels per side of a cell of the condition."""
        return self.tokenizer.downsampling

    @property
    def depth(self) -> int:
        """Codes a cell."""
        return self.tokenizer.depth

    def encode(self, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b r s"]:
        """The condition that belongs to images.

        Args:
            images: (b, c, H, W) in [-1, 1]: those to be generated, or already changed ones where that comes to the same
                (grey images have no colour to take out).

        Returns:
            (b, h', w') int64.
        """
        return self.tokenizer.encode(self._change(images))

    def fingerprint(self) -> str:
        """A name that changes with the codes it gives."""
        return f"{self.transform}/{self.tokenizer.fingerprint()}"

    def describe(self) -> dict[str, Any]:
        """What is recorded with a prior, so that it can be given images again: JSON-able."""
        return {"transform": self.transform, "tokenizer": self.tokenizer.fingerprint()}
