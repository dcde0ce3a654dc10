"""Codes whose images are elsewhere: for training a prior on a machine that has no more than them."""

import json
from functools import cached_property
from pathlib import Path

from vqgen.data.code_grids import CodeGrids
from vqgen.data.source import Caption, ImageDataset, ImageSource, Split

CAPTIONS_FILE = "captions.json"


class CodesAlone(ImageSource):
    """What a folder of codes says of the images they were made of, in the place of the images.

    It goes with `CodeDataModule(tokenizer, CodesAlone(folder), codes=folder)`.

    Args:
        folder: as `vqgen tokenize` wrote it, with `train` and `validation` inside.
        channels: of the images: 1 for grey, 3 for colour.

    Raises:
        FileNotFoundError: if the folder holds no codes.

    Example:
        >>> import tempfile, torch
        >>> from vqgen.data.code_grids import write_code_grids
        >>> folder = Path(tempfile.mkdtemp())
        >>> facts = dict(views=1, grid_size=(2, 2), image_size=(8, 8), class_names=(), tokenizer="1", source="2")
        >>> codes, labels = torch.ones(3, 2, 2).long(), torch.zeros(3).long()
        >>> write_code_grids(folder / "train", [codes], labels, codebook_size=2, **facts)
        >>> CodesAlone(folder).image_size, CodesAlone(folder).fingerprint
        ((8, 8), '2')
    """

    def __init__(self, folder: str | Path, channels: int = 3) -> None:
        self.folder = folder
        self.channels = channels
        height, width = self._grids.image_size
        self.image_size = (height, width)

    @cached_property
    def _grids(self) -> CodeGrids:
        return CodeGrids(Path(self.folder) / "train")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the images."""
        return self._grids.class_names

    @property
    def fingerprint(self) -> str:
        """That of the source the codes were made of."""
        return self._grids.source_fingerprint

    def captions(self, name: Split) -> tuple[Caption, ...]:
        """The captions that were kept beside the codes; none if there were none."""
        file = Path(self.folder) / name / CAPTIONS_FILE
        return read_captions(file) if file.is_file() else ()

    def split(self, name: Split) -> ImageDataset:
        """Refused: there are no images.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self.folder} holds codes and no images; give the source they were made of, or make the {name} codes "
            "where it is, with: vqgen tokenize"
        )


def write_captions(file: Path, captions: tuple[Caption, ...]) -> None:
    """Write captions as JSON: one list of text and tags for each image.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / CAPTIONS_FILE
        >>> write_captions(file, (Caption("red apple", ("fruit",)),))
        >>> read_captions(file)
        (Caption(text='red apple', tags=('fruit',)),)
    """
    lines = ",\n".join(json.dumps([caption.text, *caption.tags], ensure_ascii=False) for caption in captions)
    file.write_text(f"[{lines}]\n", encoding="utf-8")


def read_captions(file: Path) -> tuple[Caption, ...]:
    """Read what `write_captions` wrote.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return tuple(Caption(text, tuple(tags)) for text, *tags in json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}); make the codes anew") from error
