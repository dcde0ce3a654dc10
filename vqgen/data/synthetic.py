"""Made images: coloured shapes, for trying things out where no data set is at hand."""

from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from vqgen.data.array_images import ArrayImages
from vqgen.data.cache import short_hash
from vqgen.data.draws import mix, uniforms
from vqgen.data.source import Caption, ImageSource, Split, as_image_size

SHAPES = ("disc", "square", "diamond", "ring", "cross", "stripes")


class SyntheticImages(ImageSource):
    """One coloured shape per image on a lighter ground, of random size, place and colours; the shape is the class.

    Args:
        count: training images; a quarter as many, at least one, are for validation.
        size: pixels per side, or (H, W).
        channels: 3 for colour, 1 for grey.
        num_classes: how many shapes to use, 0 to 6; 0 draws discs without labels.
        seed: decides all images.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> source = SyntheticImages(16, 32, num_classes=3)
        >>> source.class_names, len(source.split("train")), source.split("train")[0].images.shape
        (('disc', 'square', 'diamond'), 16, torch.Size([3, 32, 32]))
    """

    def __init__(
        self,
        count: int = 256,
        size: int | tuple[int, int] = 32,
        *,
        channels: int = 3,
        num_classes: int = 4,
        seed: int = 0,
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be >= 1, got {count}")
        if not 0 <= num_classes <= len(SHAPES):
            raise ValueError(
                f"num_classes must lie in [0, {len(SHAPES)}], the number of shapes there are, got {num_classes}"
            )
        self.count = count
        self.size = size
        self.channels = channels
        self.num_classes = num_classes
        self.seed = seed
        self.image_size = as_image_size(size)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The shapes in use."""
        return SHAPES[: self.num_classes]

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the arguments."""
        return short_hash(["SyntheticImages", self.count, self.image_size, self.channels, self.num_classes, self.seed])

    def captions(self, name: Split) -> tuple[Caption, ...]:
        """The shape of each image of one split, with "coloured" or "grey" before it and "shape" as its tag.

        Args:
            name: "train" or "validation".

        Returns:
            One caption per image.
        """
        held_out = max(1, self.count // 4)
        numbers = range(self.count, self.count + held_out) if name == "validation" else range(self.count)
        look = "coloured" if self.channels == 3 else "grey"
        return tuple(Caption(f"{look} {SHAPES[number % max(1, self.num_classes)]}", ("shape",)) for number in numbers)

    def split(self, name: Split) -> ArrayImages:
        """The images of one split, drawn anew and always the same.

        Args:
            name: "train" or "validation".

        Returns:
            The data set.
        """
        held_out = max(1, self.count // 4)
        numbers = range(self.count, self.count + held_out) if name == "validation" else range(self.count)
        chances = torch.from_numpy(uniforms(mix(self.seed, numbers), 4 + 2 * self.channels)).float()
        labels = torch.arange(numbers.start, numbers.stop) % self.num_classes if self.num_classes else None
        shapes = labels if labels is not None else torch.zeros(len(numbers), dtype=torch.int64)
        inside = draw_shapes(shapes, chances[:, :3], self.image_size)  # (n, H, W)
        ground, colour = chances[:, 4:].view(len(numbers), 2, self.channels, 1, 1).unbind(1)
        images = torch.where(inside[:, None], 0.6 * colour, 0.7 + 0.3 * ground)
        return ArrayImages((255 * images).to(torch.uint8), labels)


def draw_shapes(shapes: Int64[Tensor, " n"], chances: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels each shape covers.

    Args:
        shapes: (n,) numbers of `SHAPES`.
        chances: (n, 3) in [0, 1): vertical place, horizontal place and size.
        size: (H, W).

    Returns:
        (n, H, W) booleans.

    Example:
        >>> draw_shapes(torch.tensor([1]), torch.full((1, 3), 0.5), (8, 8)).sum().item()
        16
    """
    height, width = size
    radius = (0.2 + 0.1 * chances[:, 2]) * min(size)
    centres = chances[:, :2] * (torch.tensor([height, width]) - 2 * radius[:, None]) + radius[:, None]
    down = ((torch.arange(height) + 0.5) - centres[:, :1])[:, :, None] / radius[:, None, None]  # (n, H, 1)
    across = ((torch.arange(width) + 0.5) - centres[:, 1:])[:, None, :] / radius[:, None, None]  # (n, 1, W)
    round_, square = (down**2 + across**2).sqrt(), torch.maximum(down.abs(), across.abs())
    kinds = torch.stack(
        [
            round_ < 1,
            square < 1,
            down.abs() + across.abs() < 1,
            (round_ < 1) & (round_ > 0.5),
            (square < 1) & (torch.minimum(down.abs(), across.abs()) < 0.35),
            (square < 1) & ((down * 2.5).floor().remainder(2) == 0).expand_as(square),
        ],
        dim=1,
    )
    return kinds[torch.arange(len(shapes)), shapes]
