"""Label maps in files beside the images of a folder, read and cut as these are."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vqgen.data.cache import short_hash
from vqgen.data.draws import uniforms
from vqgen.data.file_check import file_stamp
from vqgen.data.folder import ImageFolder
from vqgen.data.folder_images import FolderImages
from vqgen.data.source import ImageDataset, ImageSource, Split

NO_LABEL_LEVEL = 255
"""The grey level that stands for "no label", as in most data sets of label maps."""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""


class LabelsOfCells:
    """Label maps to grids: each cell gets the label that most of its pixels have, the lowest of equals.

    Args:
        num_labels: labels run from 0 to num_labels - 1; pixels of level 255 have none, which counts as num_labels.
        cell: pixels per side of a cell.

    Raises:
        ValueError: when a number is out of range, or, from `encode`, when a level is neither a label nor 255.

    Example:
        >>> maps = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 255]]) / 127.5 - 1  # bytes as images are handed out
        >>> LabelsOfCells(2, cell=2).encode(maps[None, None])
        tensor([[[0, 1]]])
    """

    depth = 1

    def __init__(self, num_labels: int, cell: int) -> None:
        if not 1 <= num_labels <= NO_LABEL_LEVEL or cell < 1:
            raise ValueError(
                f"num_labels must be 1 to 255 and cell >= 1 pixels, got num_labels={num_labels}, cell={cell}"
            )
        self.num_labels = num_labels
        self.downsampling = cell
        self.codebook_size = num_labels + 1

    def encode(self, images: Float[Tensor, "b 1 H W"]) -> Int[Tensor, "b h w"]:
        """The labels of cells.

        Args:
            images: (b, 1, H, W) maps as images are handed out, level / 127.5 - 1.

        Returns:
            (b, h, w) int64 in [0, num_labels].
        """
        levels = ((images[:, 0] + 1.0) * 127.5).round().long()
        levels = torch.where(levels == NO_LABEL_LEVEL, self.num_labels, levels)
        if int(levels.max()) > self.num_labels:
            raise ValueError(
                f"expected labels from 0 to {self.num_labels - 1} or 255 for none, got {int(levels.max())}; set "
                "num_labels to the number of labels"
            )
        votes = F.one_hot(levels, self.codebook_size).movedim(-1, 1).float()  # (b, labels, H, W)
        return F.avg_pool2d(votes, self.downsampling).argmax(1)

    def fingerprint(self) -> str:
        """A name that changes with the labels it gives."""
        return f"labels-of-cells/{self.num_labels}/{self.downsampling}"


class LabelMapImages(ImageSource):
    """The label maps of an `ImageFolder`'s images, as one-channel images in the same order and splits.

    Args:
        source: the images.
        root: folder of the maps: `a/b.png` for the image `a/b.jpg` below the source's root.
        validation_root: likewise of the source's validation_root.

    Raises:
        TypeError: when the source is no `ImageFolder`.
        FileNotFoundError: from `split`, when an image has no map.
    """

    channels = 1
    class_names = ()

    def __init__(self, source: ImageSource, root: str | Path, validation_root: str | Path | None = None) -> None:
        if not isinstance(source, ImageFolder):
            raise TypeError(
                f"expected an ImageFolder, whose files label maps are named after, got {type(source).__name__}; put "
                "the images into a folder"
            )
        self.source = source
        self.root = Path(root)
        self.validation_root = None if validation_root is None else Path(validation_root)
        self.image_size = source.image_size

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the images' and of the maps (path, size, time of change)."""
        maps = {name: [file_stamp(file) for file in self.split(name).files] for name in ("train", "validation")}
        return short_hash(["LabelMapImages", self.source.fingerprint, maps])

    def split(self, name: Split) -> "LabelMapDataset":
        """The maps of one split.

        Args:
            name: "train" or "validation".

        Returns:
            The data set.
        """
        images = self.source.split(name)
        own = name == "validation" and self.source.validation_root is not None
        if own and self.validation_root is None:
            raise FileNotFoundError(
                "the images have a validation_root of their own; name the maps' validation_root too"
            )
        root = self.validation_root if own and self.validation_root is not None else self.root
        files = [(root / file).with_suffix(".png") for file in images.files]
        if missing := [file for file in files if not file.is_file()]:
            raise FileNotFoundError(
                f"{len(missing)} of {len(files)} images have no label map, such as {missing[0]}; maps are PNG files "
                "named as their images"
            )
        return LabelMapDataset(images, files)


class LabelMapDataset(ImageDataset):
    """Label maps read from files, cut where their images are cut.

    Args:
        images: the images.
        files: the map of each.

    Raises:
        ValueError: when a map is read that is not of its image's proportions.
    """

    def __init__(self, images: FolderImages, files: Sequence[Path]) -> None:
        self.images = images
        self.files = files
        self.labels = images.labels

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b 1 H W"]:
        """The labels of the pixels at these indices, cut where the same seeds cut the images."""
        centred = seeds is None or self.images.crop == "center"
        places = np.full((len(indices), 2), 0.5) if centred else uniforms(np.asarray(seeds, dtype=np.uint64), 2)
        return torch.stack([self._read(index, place) for index, place in zip(indices, places.tolist(), strict=True)])

    def _read(self, index: int, place: Sequence[float]) -> UInt8[Tensor, "1 H W"]:
        with Image.open(self.files[index]) as map_, Image.open(self.images.root / self.images.files[index]) as image:
            lying = image.getexif().get(ORIENTATION, 1) >= 5  # the camera was
            size = image.size[::-1] if lying else image.size
            if map_.size != size:
                raise ValueError(
                    f"expected a label map of its image's size, {size[0]} x {size[1]} pixels, got "
                    f"{map_.size[0]} x {map_.size[1]} in {self.files[index]}"
                )
            return cut_labels(map_, self.images.size, place)


def cut_labels(
    label_map: Image.Image, size: tuple[int, int], place: Sequence[float] = (0.5, 0.5)
) -> UInt8[Tensor, "1 H W"]:
    """Scale a label map until it just covers a size, by the nearest pixel, and cut it as images are cut.

    Args:
        label_map: levels or indices of a palette; of colours their luma.
        size: (H, W) wanted, in pixels.
        place: where the cut lies along the height and the width, each in [0, 1]; see `resize_and_crop`.

    Returns:
        The label of every pixel.

    Example:
        >>> cut_labels(Image.new("L", (8, 4), 7), (2, 2)).tolist()
        [[[7, 7], [7, 7]]]
    """
    levels = label_map if label_map.mode in ("L", "P") else label_map.convert("L")
    height, width = size
    scale = max(height / levels.height, width / levels.width)
    scaled = (max(width, round(levels.width * scale)), max(height, round(levels.height * scale)))
    pixels = torch.from_numpy(np.array(levels.resize(scaled, Image.Resampling.NEAREST)))
    top, left = round(place[0] * (scaled[1] - height)), round(place[1] * (scaled[0] - width))
    return pixels[None, top : top + height, left : left + width].contiguous()
