"""What a prior is conditioned on besides labels: a grid for every image, made of the image or of a file beside it."""

from abc import ABC, abstractmethod
from pathlib import Path

from vqgen.conditioning import GridOfImages
from vqgen.data.label_maps import LabelMapImages, LabelsOfCells
from vqgen.data.source import ImageSource
from vqgen.data.tokenize import ImageEncoder
from vqgen.tokenizer import Tokenizer


class GridCondition(ABC):
    """How the conditions of a data set are made: an encoder, and the images it encodes.

    They are encoded in the same views as the images to be generated, changed by the same random numbers, so that a
    condition is turned and moved with its image.
    """

    @abstractmethod
    def encoder(self, tokenizer: str | Path) -> ImageEncoder:
        """What makes grids of images; `tokenizer` is the folder of the tokenizer of the images to be generated."""

    @abstractmethod
    def images(self, source: ImageSource) -> ImageSource:
        """The images it makes them of, one for each of the source's and in the same splits."""


class ChangedImages(GridCondition):
    """The image itself, with something taken out of it, as a tokenizer encodes it.

    Args:
        transform: ``grey`` for colourisation, ``low-resolution:FACTOR`` for super-resolution, ``same`` with another
            tokenizer; see `vqgen.conditioning.image_transform`.
        tokenizer: folder of the tokenizer that encodes the changed image; None takes that of the image.

    Example:
        >>> ChangedImages("low-resolution:4").transform
        'low-resolution:4'
    """

    def __init__(self, transform: str = "grey", tokenizer: str | Path | None = None) -> None:
        self.transform = transform
        self.tokenizer = tokenizer

    def encoder(self, tokenizer: str | Path) -> GridOfImages:
        """The tokenizer, behind the change; see `GridCondition`."""
        folder = tokenizer if self.tokenizer is None else self.tokenizer
        return GridOfImages(Tokenizer.from_pretrained(folder), self.transform)

    def images(self, source: ImageSource) -> ImageSource:
        """The source itself; see `GridCondition`."""
        return source


class LabelMaps(GridCondition):
    """A folder of label maps, one for each image of an `ImageFolder`: semantic synthesis.

    A map is a PNG of the image's size and name, in a folder of the same structure, whose grey level or palette index is
    the label of a pixel. A cell's label is the one that most of its pixels have; 255 stands for "no label" and becomes
    label `num_labels`, so that there are num_labels + 1 codes.

    Args:
        root: folder of the maps of the images in the source's `root`.
        num_labels: labels run from 0 to num_labels - 1.
        cell: pixels per side of a cell of the condition.
        validation_root: folder of the maps of the images in the source's `validation_root`, where it has one.

    Raises:
        TypeError: from `images`, when the source is no `ImageFolder`.
        FileNotFoundError: from `images`, when an image has no map.

    Example:
        >>> LabelMaps("maps", num_labels=19, cell=16).encoder("unused").codebook_size
        20
    """

    def __init__(
        self, root: str | Path, num_labels: int, cell: int, *, validation_root: str | Path | None = None
    ) -> None:
        self.root = root
        self.num_labels = num_labels
        self.cell = cell
        self.validation_root = validation_root

    def encoder(self, tokenizer: str | Path) -> LabelsOfCells:
        """Pixels to the label most of them have; see `GridCondition`."""
        return LabelsOfCells(self.num_labels, self.cell)

    def images(self, source: ImageSource) -> ImageSource:
        """The maps; see `GridCondition`."""
        return LabelMapImages(source, self.root, self.validation_root)
