"""Your own images: a folder with a sub-folder per class, or without classes."""

import hashlib
import logging
import os
from array import array
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from vqgen.data.cache import cache_folder, short_hash
from vqgen.data.decode import Channels
from vqgen.data.file_check import broken_files, file_stamps
from vqgen.data.file_names import FileNames
from vqgen.data.folder_images import Crop, FolderImages
from vqgen.data.source import ImageSource, Split, as_image_size

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_log = logging.getLogger(__name__)


class ImageFolder(ImageSource):
    """The image files below a folder; the first sub-folder on the way to a file is its class.

    Images are turned the way the camera was held, put on white where they are transparent, scaled until they just
    cover the size, and cut. Before the first split is handed out every file is decoded once to see whether it is
    whole; the result is remembered, so this costs time only once. What reads every image once and can go on after a
    broken one (`vqgen tokenize`) does without. Names, and no images, are in memory: some 60 bytes for each.

    Args:
        root: the folder; files at any depth count, hidden ones do not.
        size: pixels per side, or (H, W).
        labels: whether sub-folders are classes; a file directly in the folder has no class (-1).
        validation_root: another folder of the same make, for validation; None takes files of `root` instead.
        validation_fraction: share of the files of `root` held out if there is no `validation_root`, in [0, 1); chosen
            by a hash of the path, so that adding files does not move others to the other side. Put near duplicates
            (frames of one film) into `validation_root` yourself: names do not show them.
        crop: "center" cuts the centre; "random" cuts training images anywhere, differently every time.
        channels: 3 for colour, 1 for grey.
        on_error: what to do about files that cannot be decoded: "raise" names them and stops before training;
            "skip" leaves them out, and says how many they were; "trust" looks at none beforehand and stops when
            training comes to one, for folders too large to look through.
        cache: folder to remember the looked-at files in; None is the user's cache folder.

    Raises:
        FileNotFoundError: if a folder does not exist or has no image in it.
        ValueError: if an argument is out of range; from `split`, if a file is broken and none may be.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for number in range(4):
        ...     (root / "red").mkdir(exist_ok=True)
        ...     Image.new("RGB", (9, 7), "red").save(root / "red" / f"{number}.png")
        >>> source = ImageFolder(root, 8, validation_fraction=0.25, cache=root / ".cache")
        >>> source.class_names, len(source.split("train")) + len(source.split("validation"))
        (('red',), 4)
    """

    def __init__(
        self,
        root: str | Path,
        size: int | tuple[int, int] = 256,
        *,
        labels: bool = True,
        validation_root: str | Path | None = None,
        validation_fraction: float = 0.05,
        crop: Crop = "center",
        channels: Channels = 3,
        on_error: Literal["raise", "skip", "trust"] = "raise",
        cache: str | Path | None = None,
    ) -> None:
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie in [0, 1), got {validation_fraction}")
        self.root = root
        self.size = size
        self.labels = labels
        self.validation_root = validation_root
        self.validation_fraction = validation_fraction
        self.crop = crop
        self.channels: Channels = channels
        self.on_error = on_error
        self.cache = cache
        self.image_size = as_image_size(size)
        self._files = {name: FileNames(list_images(Path(folder))) for name, folder in self._roots.items()}

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The sub-folders that have images, sorted."""
        found = {_class_of(file) for files in self._files.values() for file in files}
        return tuple(sorted(found - {""})) if self.labels else ()

    @property
    def _roots(self) -> dict[str, Path]:
        roots = {"train": Path(self.root)}
        if self.validation_root is not None:
            roots["validation"] = Path(self.validation_root)
        return roots

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the files (path, size, time of change) and of how they are read and split.

        Files are looked at for it only where broken ones are to be skipped.
        """
        files = self._sound_files if self.on_error == "skip" else self._files
        stamps = {name: file_stamps(self._roots[name], names) for name, names in files.items()}
        return short_hash(
            {
                "source": "ImageFolder",
                "files": {name: hashlib.sha256(numbers.tobytes()).hexdigest() for name, numbers in stamps.items()},
                "size": self.image_size,
                "labels": self.labels,
                "validation_fraction": self.validation_fraction if self.validation_root is None else None,
                "crop": self.crop,
                "channels": self.channels,
            }
        )

    @cached_property
    def skipped(self) -> dict[str, str]:
        """The files left out because they cannot be decoded, with the reason; looks at all files if need be."""
        if self.on_error == "trust":
            return {}
        broken: dict[str, str] = {}
        for name, root in self._roots.items():
            found = broken_files(root, self._files[name], cache_folder(self.cache))
            broken.update({str(root / file): problem for file, problem in found.items()})
        if broken and self.on_error == "raise":
            shown = "\n  ".join(list(broken.values())[:5])
            raise ValueError(
                f"{len(broken)} of the image files cannot be read; remove or mend them, or pass on_error='skip' to "
                f"leave them out. {'The first five' if len(broken) > 5 else 'They are'}:\n  {shown}"
            )
        if broken:
            _log.warning(
                "Left out %d image files that cannot be read, such as: %s", len(broken), next(iter(broken.values()))
            )
        return broken

    @cached_property
    def _sound_files(self) -> dict[str, FileNames]:
        if not self.skipped:
            return self._files
        return {
            name: FileNames(file for file in files if str(self._roots[name] / file) not in self.skipped)
            for name, files in self._files.items()
        }

    def unchecked(self) -> "ImageFolder":
        """The same images, but without looking at all files beforehand to see whether they are whole.

        Returns:
            Where broken files are to be skipped, the source itself: they must be known beforehand.
        """
        if self.on_error != "raise":
            return self
        source = copy(self)
        source.on_error = "trust"
        return source

    def split(self, name: Split) -> FolderImages:
        """The images of one split, decoded when they are read.

        Args:
            name: "train" or "validation".

        Returns:
            The data set.

        Raises:
            ValueError: if files are broken and none may be, or none are whole.
        """
        root = self._roots.get(name, Path(self.root))
        files = self._sound_files.get(name, self._sound_files["train"])
        if self.validation_root is None:
            held_out = choose_validation(files, self.validation_fraction)
            files = FileNames(file for file in files if (file in held_out) == (name == "validation"))
        if not files and name == "train":
            raise ValueError(f"no image file in {root} is left to train on; {len(self.skipped)} could not be read")
        numbers = {class_name: number for number, class_name in enumerate(self.class_names)}
        labels = array("q", (numbers.get(_class_of(file), -1) for file in files))
        return FolderImages(
            root,
            files,
            torch.tensor(labels, dtype=torch.int64),
            size=self.image_size,
            channels=self.channels,
            crop=self.crop,
        )


def list_images(root: Path) -> list[str]:
    """The image files below a folder, by their suffix, sorted; hidden files and folders are passed over.

    Args:
        root: the folder.

    Returns:
        Paths below it, with "/".

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        ...     (root / name).touch()
        >>> list_images(root)
        ['a.jpg', 'b.PNG']
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root.resolve()}; pass the folder that holds your images")
    files: list[str] = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = "" if Path(folder) == root else f"{Path(folder).relative_to(root).as_posix()}/"
        files += [below + name for name in names if not name.startswith(".") and name.lower().endswith(tuple(SUFFIXES))]
    if not files:
        raise FileNotFoundError(
            f"there is no image in {root.resolve()}; expected files ending in {', '.join(sorted(SUFFIXES))}"
        )
    files.sort()
    return files


def choose_validation(files: Sequence[str], fraction: float) -> set[str]:
    """The files to hold out: those whose path hashes low, and at least one where a fraction is asked for at all.

    Args:
        files: paths.
        fraction: share to hold out, in [0, 1).

    Returns:
        The files held out, about `fraction` of them; never all.

    Example:
        >>> sorted(choose_validation(["a.png", "b.png", "c.png"], 0.01))
        ['c.png']
    """
    if fraction == 0 or len(files) < 2:
        return set()
    chosen: set[str] = set()
    lowest, highest = (2.0, ""), (-1.0, "")
    for file in files:
        rank = int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:8], "big") / 2**64
        lowest, highest = min(lowest, (rank, file)), max(highest, (rank, file))
        if rank < fraction:
            chosen.add(file)
    return (chosen | {lowest[1]}) - {highest[1]}


def _class_of(file: str) -> str:
    return file.split("/")[0] if "/" in file else ""
