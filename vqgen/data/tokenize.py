"""Computing the codes of a data set: `vqgen tokenize`, and what a data module does on its own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.data.augmented import Augmented
from vqgen.data.code_grids import write_code_grids
from vqgen.data.codes_alone import CAPTIONS_FILE, write_captions
from vqgen.data.loaders import SequentialLoader
from vqgen.data.source import SPLITS, ImageDataset, ImageSource, Split
from vqgen.tokenizer.tokenizer import grid_size

Progress = Callable[[int, int], None]  # called with the images done and all images


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
    num_workers: int = 0,
    progress: Progress | None = None,
) -> None:
    """Encode every image of a split and write the codes to a folder that `CodeGrids` reads.

    The first view is the image as it is, the second its mirror image; further ones are moved by some pixels, cropped
    anywhere if the source crops at random, and mirrored half of the time.

    Args:
        tokenizer: encodes; a module is used where it is (its device), in evaluation mode, and left as it was.
        source: the images.
        split: "train" or "validation".
        folder: where to write; replaced if it exists.
        views: versions of each image to store, at least 1.
        flip: whether a mirror image shows the same thing; if not, the second view is like the further ones.
        shift: most pixels that further views are moved; None is a sixteenth of the shorter side.
        seed: decides the further views.
        batch_size: images encoded at a time.
        num_workers: processes that read images ahead; 0 reads in this one.
        progress: called after every batch with the number of images done and of all.

    Raises:
        ValueError: if views is below 1, or the tokenizer's downsampling does not divide the image size.
    """
    if views < 1:
        raise ValueError(f"views must be >= 1, got {views}; the first view is the image as it is")
    cells = grid_size(source.image_size, tokenizer.downsampling, tokenizer.depth)
    shift = max(1, min(source.image_size) // 16) if shift is None else shift
    versions = ImageViews(source.split(split), flip=flip, shift=shift, seed=seed)
    total = views * len(versions.dataset)
    batches = SequentialLoader(versions.batch, items=total, batch_size=batch_size, num_workers=num_workers)

    def encoded() -> Iterator[Int[Tensor, "b h w"]]:
        done = 0
        for images in batches:
            yield _encode(tokenizer, images)
            done += len(images)
            if progress is not None:
                progress(done, total)

    write_code_grids(
        folder,
        encoded(),
        versions.dataset.labels,
        views=views,
        grid_size=cells,
        codebook_size=tokenizer.codebook_size,
        image_size=source.image_size,
        class_names=source.class_names,
        tokenizer=tokenizer.fingerprint(),
        source=source.fingerprint,
    )
    if captions := source.captions(split):
        write_captions(Path(folder) / CAPTIONS_FILE, captions)


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
        >>> torch.equal(versions.batch([3 + 1 * 4])[0], dataset[3].images.flip(-1))
        True
    """

    def __init__(self, dataset: ImageDataset, *, flip: bool, shift: int, seed: int) -> None:
        self.dataset = dataset
        self.flip = flip
        self.changed = Augmented(dataset, seed=seed, flip=flip, shift=shift)

    def batch(self, numbers: Sequence[int]) -> Float[Tensor, "b c H W"]:
        """The images of these numbers, which ascend."""
        count = len(self.dataset)
        first_changed = (2 if self.flip else 1) * count
        plain = [number for number in numbers if number < count]
        mirrored = [number - count for number in numbers if count <= number < first_changed]
        changed = [number for number in numbers if number >= first_changed]
        parts = [self.dataset.batch(plain).images] if plain else []
        parts += [self.dataset.batch(mirrored).images.flip(-1)] if mirrored else []
        parts += [self.changed.batch(changed).images] if changed else []
        return torch.cat(parts)


def tokenize(
    tokenizer: str,
    source: ImageSource,
    out: str,
    views: int = 1,
    flip: bool = True,
    batch_size: int = 64,
    num_workers: int = 0,
) -> Path:
    """Encode a data set's images once and write the codes to OUT/train and OUT/validation.

    Training a prior on them: `CodeDataModule(tokenizer, source, codes=OUT, views=VIEWS)`.

    Args:
        tokenizer: folder of the trained tokenizer.
        source: the images, such as vqgen.data.OpenMoji.
        out: folder to write; codes in it are replaced.
        views: versions of each training image: as it is, mirrored, and then moved by some pixels.
        flip: whether a mirror image shows the same thing.
        batch_size: images encoded at a time.
        num_workers: processes that read images ahead; worth while for image files.

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
def _encode(tokenizer: ImageEncoder, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b h w"]:
    if not isinstance(tokenizer, nn.Module):
        return tokenizer.encode(images)
    training = tokenizer.training
    parameter = next(tokenizer.parameters(), None)
    try:
        tokenizer.eval()
        codes: Tensor = tokenizer.encode(images if parameter is None else images.to(parameter.device))
    finally:
        tokenizer.train(training)
    return codes
