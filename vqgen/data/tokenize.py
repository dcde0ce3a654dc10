"""Computing the codes of a data set: `vqgen tokenize`, and what a data module does on its own."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from filelock import FileLock, Timeout
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from vqgen.data.augmented import Augmented
from vqgen.data.code_grids import CodeGrids
from vqgen.data.code_writer import CodeFacts
from vqgen.data.codes_alone import CAPTIONS_FILE, write_captions
from vqgen.data.loaders import SequentialLoader, reading_processes
from vqgen.data.partial_codes import PartialCodes
from vqgen.data.source import SPLITS, ImageDataset, ImageSource, Split, to_unit_range
from vqgen.tokenizer.tokenizer import grid_size

Progress = Callable[[int, int], None]  # called with the images done and all images
_log = logging.getLogger(__name__)


@runtime_checkable
class ImageEncoder(Protocol):
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


def tokenize_images(
    tokenizer: ImageEncoder,
    source: ImageSource,
    split: Split,
    folder: str | Path,
    *,
    views: int = 1,
    flip: bool = True,
    shift: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Encode every image of a split and write the codes to a folder that `CodeGrids` reads.

    Images are read, encoded and written a batch at a time, so memory does not grow with their number but for what the
    source keeps of each. A run that is stopped, by a power cut too, leaves what it did in `FOLDER.partial`, and the
    same call goes on there and gives the same codes; the folder itself appears when it is complete. Codes that are
    there are kept. Of several processes that do the same, one works and the others wait.

    The first view is the image as it is, the second its mirror image; further ones are moved by some pixels, cropped
    anywhere if the source crops at random, and mirrored half of the time.

    Args:
        tokenizer: encodes; a module is used where it is (its device), in evaluation mode, and left as it was.
        source: the images.
        split: "train" or "validation".
        folder: where to write.
        views: versions of each image to store, at least 1.
        flip: whether a mirror image shows the same thing; if not, the second view is like the further ones.
        shift: most pixels that further views are moved; None is a sixteenth of the shorter side.
        seed: decides the further views.
        batch_size: images encoded at a time.
        num_workers: processes that read images ahead; 0 reads in this one, None takes one a processor where files
            are to be decoded.
        progress: called after every batch, and before the first if an earlier run did some, with the number of images
            done and of all.

    Raises:
        ValueError: if views is below 1, the tokenizer's downsampling does not divide the image size, an image cannot be
            read, or the folder holds codes, complete or not, that were made of something else.

    Example:
        >>> import tempfile
        >>> from vqgen.data import LabelMaps, SyntheticImages
        >>> folder = Path(tempfile.mkdtemp()) / "train"
        >>> encoder = LabelMaps("unused", num_labels=255, cell=4).encoder("unused")  # any tokenizer will do
        >>> tokenize_images(encoder, SyntheticImages(6, 8, channels=1), "train", folder)
        >>> CodeGrids(folder).batch([0, 5]).codes.shape
        torch.Size([2, 2, 2])
    """
    if views < 1:
        raise ValueError(f"views must be >= 1, got {views}; the first view is the image as it is")
    cells = grid_size(source.image_size, tokenizer.downsampling, tokenizer.depth)
    folder = Path(folder)
    with _alone_at(folder):
        source = source.unchecked()
        dataset = source.split(split)
        shift = max(1, min(source.image_size) // 16) if shift is None else shift
        facts = CodeFacts(
            shape=(views, len(dataset), *cells),
            codebook_size=tokenizer.codebook_size,
            image_size=source.image_size,
            class_names=source.class_names,
            tokenizer=tokenizer.fingerprint(),
            source=source.fingerprint,
            changes=None if views == 1 else {"flip": flip, "shift": shift, "seed": seed},
        )
        total = views * len(dataset)
        if _is_there(folder, facts):
            if progress is not None:
                progress(total, total)
            return
        versions = ImageViews(dataset, flip=flip, shift=shift, seed=seed)
        with PartialCodes(folder, facts, stamps=dataset.stamps()) as partial:
            _encode_rest(tokenizer, versions, partial, total, batch_size, num_workers, progress)
            if captions := source.captions(split):
                write_captions(partial.folder / CAPTIONS_FILE, captions)
            partial.finish(dataset.labels.numpy())


@contextmanager
def _alone_at(folder: Path) -> Iterator[None]:
    """Wait until no other process writes this folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("Another process is writing %s; waiting for it to end", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
    with suppress(OSError):  # another process may have it; both now find the folder complete
        Path(lock.lock_file).unlink()


def _is_there(folder: Path, facts: CodeFacts) -> bool:
    """Whether the folder holds these codes; an error if it holds others."""
    if not (folder / "meta.json").is_file():
        return False
    grids = CodeGrids(folder, tokenizer=facts.tokenizer, source=facts.source)
    recorded = grids.changes is not None  # older folders do not say
    if grids.views != facts.shape[0] or (recorded and grids.changes != facts.changes):
        raise ValueError(
            f"the codes in {folder} have {grids.views} views of each image, changed by {grids.changes}, this run asks "
            f"for {facts.shape[0]}, changed by {facts.changes}; name another folder for the codes, or remove this one "
            "to have it made anew"
        )
    return True


def _encode_rest(
    tokenizer: ImageEncoder,
    versions: "ImageViews",
    partial: PartialCodes,
    total: int,
    batch_size: int,
    num_workers: int | None,
    progress: Progress | None,
) -> None:
    if num_workers is None:
        num_workers = reading_processes(versions.dataset, batches=-(-(total - partial.done) // batch_size))
    batches = SequentialLoader(
        versions.read, items=total, batch_size=batch_size, num_workers=num_workers, first=partial.done
    )
    if partial.done and progress is not None:
        progress(partial.done, total)
    try:
        if num_workers and partial.done < total:
            versions.read([partial.done])  # what reading imports is now shared by the workers, not imported by each
        for images in batches:
            partial.append(_encode(tokenizer, images))
            if progress is not None:
                progress(partial.done, total)
    except ValueError as error:
        raise ValueError(
            f"{error}. The codes of {partial.done} images of {total} are kept in {partial.folder}; the same command "
            "goes on after them"
        ) from error


class ImageViews:
    """The versions of a data set's images: number i + v * n is image i in version v.

    Args:
        dataset: n images.
        flip: whether version 1 is the mirror image; if not, it is changed like those after it.
        shift: most pixels that changed versions are moved.
        seed: decides how they are changed.

    Example:
        >>> from vqgen.data import SyntheticImages
        >>> dataset = SyntheticImages(4, 8).split("train")
        >>> versions = ImageViews(dataset, flip=True, shift=1, seed=0)
        >>> torch.equal(versions.read([3 + 1 * 4]), dataset.read([3]).flip(-1))
        True
    """

    def __init__(self, dataset: ImageDataset, *, flip: bool, shift: int, seed: int) -> None:
        self.dataset = dataset
        self.flip = flip
        self.changed = Augmented(dataset, seed=seed, flip=flip, shift=shift)

    def batch(self, numbers: Sequence[int]) -> Float[Tensor, "b c H W"]:
        """The images of these numbers, which ascend."""
        return to_unit_range(self.read(numbers))

    def read(self, numbers: Sequence[int]) -> UInt8[Tensor, "b c H W"]:
        """The pixels of these numbers, 0 black to 255 white; a worker hands these on, a quarter of the floats' size."""
        count = len(self.dataset)
        first_changed = (2 if self.flip else 1) * count
        plain = [number for number in numbers if number < count]
        mirrored = [number - count for number in numbers if count <= number < first_changed]
        changed = [number for number in numbers if number >= first_changed]
        parts = [self.dataset.read(plain)] if plain else []
        parts += [self.dataset.read(mirrored).flip(-1)] if mirrored else []
        parts += [self.changed.read(changed)] if changed else []
        return torch.cat(parts)


def tokenize(
    tokenizer: str,
    source: ImageSource,
    out: str,
    views: int = 1,
    flip: bool = True,
    batch_size: int = 64,
    num_workers: int | None = None,
) -> Path:
    """Encode a data set's images once and write the codes to OUT/train and OUT/validation.

    A run that is stopped leaves what it did in OUT/train.partial; the same command goes on there. Memory does not grow
    with the number of images.

    Training a prior on them: `CodeDataModule(tokenizer, source, codes=OUT, views=VIEWS)`.

    Args:
        tokenizer: folder of the trained tokenizer.
        source: the images, such as vqgen.data.OpenMoji.
        out: folder to write; codes in it are kept, and refused if they are of another tokenizer or other images.
        views: versions of each training image: as it is, mirrored, and then moved by some pixels.
        flip: whether a mirror image shows the same thing.
        batch_size: images encoded at a time.
        num_workers: processes that read images ahead; left out, one a processor for image files, none for images in
            memory.

    Returns:
        The folder written.
    """
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from vqgen.tokenizer import Tokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Tokenizer.from_pretrained(tokenizer).to(device)
    with Bars() as bars:
        for split in SPLITS:
            bar = bars.add_task(split)

            def show(done: int, total: int, bar: TaskID = bar) -> None:
                bars.update(bar, completed=done, total=total)

            tokenize_images(
                model,
                source,
                split,
                Path(out) / split,
                views=views if split == "train" else 1,
                flip=flip,
                batch_size=batch_size,
                num_workers=num_workers,
                progress=show,
            )
    return Path(out)


@torch.inference_mode()
def _encode(tokenizer: ImageEncoder, images: UInt8[Tensor, "b c H W"]) -> Int[Tensor, "b h w"]:
    if not isinstance(tokenizer, nn.Module):
        return tokenizer.encode(to_unit_range(images))
    training = tokenizer.training
    parameter = next(tokenizer.parameters(), None)
    try:
        tokenizer.eval()
        codes: Tensor = tokenizer.encode(to_unit_range(images if parameter is None else images.to(parameter.device)))
    finally:
        tokenizer.train(training)
    return codes
