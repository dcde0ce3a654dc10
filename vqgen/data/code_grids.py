"""The codes of a data set, computed once and read from the disk while a prior trains."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from vqgen.data.cache import whole_folder
from vqgen.data.code_writer import FORMAT, CodeFacts, CodeWriter
from vqgen.data.draws import mix, uniforms

AnyBatch = TypeVar("AnyBatch", covariant=True)


class CodeBatch(NamedTuple):
    """Grids of codes with the labels of their images; one item has the same shape without the batch axis.

    Example:
        >>> batch = CodeBatch(codes=torch.zeros(2, 4, 4, dtype=torch.int64), labels=torch.tensor([4, -1]))
        >>> batch.codes.shape
        torch.Size([2, 4, 4])
    """

    codes: Int64[Tensor, "*b h w"]
    labels: Int64[Tensor, "*b"]  # -1 = no label


class CodeGrids:
    """A folder of codes: `codes.npy` (views, n, h, w), `labels.npy` (n,) and `meta.json`.

    A view is a version of every image: the first is the image as it is, others are flipped or shifted. Codes are kept
    in the smallest integers that hold them and mapped from the file, so that any number of them opens at once.

    Args:
        folder: as `vqgen.data.tokenize.tokenize_images` wrote it.
        tokenizer: fingerprint that the tokenizer they were made with must have; None accepts any.
        source: fingerprint that the image source must have; None accepts any.

    Attributes:
        views: versions of each image.
        grid_size: (h, w).
        image_size: (H, W) of the images.
        codebook_size: codes lie in [0, codebook_size).
        class_names: the names of the labels.
        changes: how the further views were changed; None where that was not recorded.
        tokenizer_fingerprint: of the tokenizer the codes were made with.
        source_fingerprint: of the source the images came from.

    Raises:
        FileNotFoundError: if the folder holds no codes.
        ValueError: if the codes were made with another tokenizer or from other images, or the files are damaged.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "train"
        >>> codes, labels = torch.arange(2 * 3 * 4 * 4).view(6, 4, 4) % 16, torch.tensor([0, 1, 0])
        >>> facts = dict(codebook_size=16, image_size=(32, 32), class_names=("a", "b"), tokenizer="1", source="2")
        >>> write_code_grids(target, [codes], labels, views=2, grid_size=(4, 4), **facts)
        >>> grids = CodeGrids(target, tokenizer="1")
        >>> len(grids), grids.views, grids.batch([2, 0]).codes.shape
        (3, 2, torch.Size([2, 4, 4]))
    """

    def __init__(self, folder: str | Path, *, tokenizer: str | None = None, source: str | None = None) -> None:
        self.folder = Path(folder)
        meta = _read_meta(self.folder)
        self.tokenizer_fingerprint = str(meta["tokenizer"])
        self.source_fingerprint = str(meta["source"])
        for what, expected, found in (
            ("tokenizer", tokenizer, self.tokenizer_fingerprint),
            ("image source", source, self.source_fingerprint),
        ):
            if expected is not None and expected != found:
                raise ValueError(
                    f"the codes in {folder} were made with the {what} {found}, but this run has the {what} {expected}; "
                    "name another folder for the codes, or remove this one to have it made anew"
                )
        self.codebook_size = int(meta["codebook_size"])
        self.image_size = tuple(meta["image_size"])
        self.class_names = tuple(meta["class_names"])
        self.changes: dict[str, Any] | None = meta.get("changes")
        try:
            self._codes: npt.NDArray[Any] = np.load(self.folder / "codes.npy", mmap_mode="r", allow_pickle=False)
            labels = np.load(self.folder / "labels.npy", allow_pickle=False)
        except (ValueError, EOFError, FileNotFoundError) as error:
            raise ValueError(
                f"the codes in {folder} are damaged ({error}); remove the folder and make it anew"
            ) from error
        if list(self._codes.shape) != meta["shape"] or len(labels) != self._codes.shape[1]:
            raise ValueError(
                f"the codes in {folder} are damaged: expected the shape {meta['shape']} and as many labels, got "
                f"{list(self._codes.shape)} and {len(labels)}; remove the folder and make it anew"
            )
        self.views = self._codes.shape[0]
        self.grid_size = (self._codes.shape[2], self._codes.shape[3])
        self.labels: Int64[Tensor, " n"] = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> CodeBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), got {index}")
        codes, label = self.batch([index % len(self)])
        return CodeBatch(codes[0], label[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return CodeGrids, (self.folder,)  # a worker maps the file itself rather than being sent its content

    def batch(self, indices: Sequence[int], views: Sequence[int] | None = None) -> CodeBatch:
        """The codes of several images.

        Args:
            indices: b numbers in [0, len(self)).
            views: which version of each, in [0, self.views); None takes the images as they are.

        Returns:
            Codes (b, h, w) and labels (b,).
        """
        chosen = np.asarray(indices, dtype=np.int64)
        versions = np.zeros_like(chosen) if views is None else np.asarray(views, dtype=np.int64)
        codes = torch.from_numpy(self._codes[versions, chosen].astype(np.int64))
        return CodeBatch(codes, self.labels[torch.from_numpy(chosen)])


@runtime_checkable
class HasViews(Protocol[AnyBatch]):
    """What `RandomViews` draws from: `CodeGrids`, or codes with more beside them."""

    views: int

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], views: Sequence[int] | None = None) -> AnyBatch:
        """The images of these indices in these views."""


class RandomViews(Generic[AnyBatch]):
    """Draws of code grids: item i in a version that the draw number i + epoch * len(grids) decides.

    Args:
        grids: the codes.
        seed: with the draw number, decides the version.
    """

    def __init__(self, grids: HasViews[AnyBatch], *, seed: int = 0) -> None:
        self.grids = grids
        self.seed = seed

    def batch(self, draws: Sequence[int]) -> AnyBatch:
        """The codes of these draws, with their labels."""
        views = (uniforms(mix(self.seed, draws), 1)[:, 0] * self.grids.views).astype(np.int64)
        return self.grids.batch([draw % len(self.grids) for draw in draws], views.tolist())


def write_code_grids(
    target: str | Path,
    batches: Iterable[Int[Tensor, "_ h w"]],
    labels: Int64[Tensor, " n"],
    *,
    views: int,
    grid_size: tuple[int, int],
    codebook_size: int,
    image_size: tuple[int, int],
    class_names: Sequence[str],
    tokenizer: str,
    source: str,
) -> None:
    """Write a folder of codes, whole or not at all, replacing what stands there.

    Args:
        target: the folder.
        batches: the codes of all n images in their first version, then of all in their second, and so on.
        labels: (n,) class numbers, -1 for none.
        views: versions of each image.
        grid_size: (h, w).
        codebook_size: codes lie in [0, codebook_size).
        image_size: (H, W) of the images.
        class_names: the names of the labels.
        tokenizer: the tokenizer's fingerprint.
        source: the image source's fingerprint.

    Raises:
        ValueError: if a code is out of range.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "train"
        >>> facts = dict(grid_size=(2, 2), image_size=(4, 4), class_names=(), tokenizer="a", source="b")
        >>> codes, labels = torch.ones(5, 2, 2).long(), torch.zeros(5).long()
        >>> write_code_grids(target, [codes], labels, views=1, codebook_size=2, **facts)
        >>> len(CodeGrids(target))
        5
    """
    facts = CodeFacts(
        shape=(views, len(labels), *grid_size),
        codebook_size=codebook_size,
        image_size=image_size,
        class_names=tuple(class_names),
        tokenizer=tokenizer,
        source=source,
    )
    with whole_folder(Path(target)) as folder:
        writer = CodeWriter(folder / "codes.npy", facts)
        try:
            for codes in batches:
                writer.append(codes)
        finally:
            writer.close()
        writer.complete(labels.numpy())


def _read_meta(folder: Path) -> dict[str, Any]:
    file = folder / "meta.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no codes (there is no meta.json); make them with: vqgen tokenize")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"the codes in {folder} are damaged (meta.json: {error}); remove the folder and make it anew"
        ) from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{folder} has codes of the format {found!r}, this version of vqgen reads {FORMAT!r}; make them anew"
        )
    return dict(meta)
