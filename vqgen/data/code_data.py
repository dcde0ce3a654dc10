"""Codes for training a prior, as a Lightning data module."""

import logging
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import nn

from vqgen.data.cache import cache_folder, short_hash
from vqgen.data.captions import CaptionedBatch, CaptionedGrids, Captions, RandomCaptions
from vqgen.data.code_grids import CodeBatch, CodeGrids, RandomViews
from vqgen.data.grid_condition import ChangedImages, GridCondition
from vqgen.data.image_data import share_of_process, use_pinned_memory
from vqgen.data.loaders import ResumableLoader, SequentialLoader
from vqgen.data.paired import PairedBatch, PairedGrids
from vqgen.data.source import SPLITS, ImageSource, Split
from vqgen.data.tokenize import ImageEncoder, tokenize_images
from vqgen.tokenizer import Tokenizer
from vqgen.tokenizer.tokenizer import grid_size

_log = logging.getLogger(__name__)


class TokenizerFacts(NamedTuple):
    """What is remembered of a tokenizer when its weights are let go."""

    fingerprint: str
    codebook_size: int
    downsampling: int
    depth: int


class CodeDataModule(pl.LightningDataModule):
    """Serves `CodeBatch`es: the images of a source as a trained tokenizer encodes them.

    The codes are computed once, on one process, and kept in a folder that records the tokenizer and the source they
    were made with; codes of another tokenizer are refused. A training batch takes a random view of each image; in
    validation it is the image as it is. Training resumes in the middle of an epoch (see `ImageDataModule`).

    Args:
        tokenizer: folder of the trained tokenizer.
        source: where the images come from.
        codes: folder for the codes; None takes one in the cache, named after tokenizer, source and views.
        views: versions of each training image to store: as it is, mirrored, then moved by some pixels.
        flip: whether a mirror image shows the same thing; if not, views beyond the first are only moved.
        batch_size: grids per step and process.
        num_workers: processes that read ahead: images while codes are computed, and codes in training, for which 0 is
            usually fastest.
        seed: decides the order of the images and the views.
        pin_memory: use page-locked memory; None does where there is a GPU.
        cache: folder for derived files; None is the user's cache folder.
        condition: a grid that each image is to be generated from, such as `ChangedImages("grey")` or `LabelMaps`; it is
            computed and kept beside the codes, and batches are `PairedBatch`es. None serves codes and labels alone.
        captions: how the source's captions are told; batches are `CaptionedBatch`es then.

    Raises:
        FileNotFoundError: if there is no such tokenizer folder.
        ValueError: if both condition and captions are given; when the codes are opened, if they were made with another
            tokenizer, other images or other views.
    """

    def __init__(
        self,
        tokenizer: str | Path,
        source: ImageSource,
        *,
        codes: str | Path | None = None,
        views: int = 1,
        flip: bool = True,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        pin_memory: bool | None = None,
        cache: str | Path | None = None,
        condition: GridCondition | None = None,
        captions: Captions | None = None,
    ) -> None:
        super().__init__()
        if condition is not None and captions is not None:
            raise ValueError("a batch tells a grid or a caption of each image, got condition and captions; pass one")
        self.tokenizer = tokenizer
        self.source = source
        self.codes = codes
        self.views = views
        self.flip = flip
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.pin_memory = pin_memory
        self.cache = cache
        self.condition = condition
        self.captions = captions

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.source.image_size

    @property
    def channels(self) -> int:
        """Of the images: 1 for grey, 3 for colour."""
        return self.source.channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of every class; empty if there are no labels."""
        return self.source.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 if there are no labels."""
        return len(self.class_names)

    @cached_property
    def vocabulary(self) -> str | None:
        """The vocabulary of the training captions, as `vqgen.conditioning.Vocabulary` takes it; None without."""
        return None if self.captions is None else self.captions.vocabulary(self.source)

    @property
    def grid_size(self) -> tuple[int, int]:
        """(h, w) in codes."""
        return grid_size(self.image_size, self._facts.downsampling, self._facts.depth)

    @property
    def codebook_size(self) -> int:
        """Number of codes of the tokenizer."""
        return self._facts.codebook_size

    @property
    def tokenizer_fingerprint(self) -> str:
        """Which tokenizer the codes are of."""
        return self._facts.fingerprint

    @cached_property
    def _facts(self) -> TokenizerFacts:
        tokenizer = Tokenizer.from_pretrained(self.tokenizer)
        return TokenizerFacts(tokenizer.fingerprint(), tokenizer.codebook_size, tokenizer.downsampling, tokenizer.depth)

    def _folder(self, split: Split) -> Path:
        if self.codes is not None:
            return Path(self.codes) / split
        name = short_hash([self.tokenizer_fingerprint, self.source.fingerprint, self.views, self.flip])
        return cache_folder(self.cache) / "codes" / name / split

    @cached_property
    def condition_encoder(self) -> ImageEncoder | None:
        """What makes conditions of images, on the CPU; None without conditions."""
        return None if self.condition is None else self.condition.encoder(self.tokenizer)

    @cached_property
    def _condition_images(self) -> ImageSource:
        assert self.condition is not None
        return self.condition.images(self.source)

    @property
    def condition_shape(self) -> tuple[int, int, int] | None:
        """Number of codes, rows and columns of the grids that are the condition; None without."""
        if self.condition_encoder is None:
            return None
        encoder = self.condition_encoder
        return encoder.codebook_size, *grid_size(self._condition_images.image_size, encoder.downsampling, encoder.depth)

    @property
    def condition_tokenizer(self) -> str | None:
        """Folder of the tokenizer that makes the condition; None where none does."""
        if not isinstance(self.condition, ChangedImages):
            return None
        return str(self.tokenizer if self.condition.tokenizer is None else self.condition.tokenizer)

    def _condition_folder(self, split: Split) -> Path:
        assert self.condition_encoder is not None
        name = short_hash([self.condition_encoder.fingerprint(), self._condition_images.fingerprint])
        return self._folder(split).parent / f"condition-{name}" / split

    def prepare_data(self) -> None:
        """Compute the codes that are missing, and the conditions, on one process before the others."""
        missing = [split for split in SPLITS if not (self._folder(split) / "meta.json").is_file()]
        if missing:
            tokenizer = Tokenizer.from_pretrained(self.tokenizer)
            for split in missing:
                self._encode(tokenizer, self.source, split, self._folder(split))
        if self.condition_encoder is not None:
            for split in SPLITS:
                if not (self._condition_folder(split) / "meta.json").is_file():
                    self._encode(self.condition_encoder, self._condition_images, split, self._condition_folder(split))

    def _encode(self, encoder: ImageEncoder, source: ImageSource, split: Split, folder: Path) -> None:
        _log.info("Encoding the %s images into %s", split, folder)
        if isinstance(encoder, nn.Module):
            encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        tokenize_images(
            encoder,
            source,
            split,
            folder,
            views=self.views if split == "train" else 1,
            flip=self.flip,
            num_workers=self.num_workers,
        )
        if isinstance(encoder, nn.Module):
            encoder.to("cpu")

    def grids(self, split: Split) -> CodeGrids:
        """The codes of one split, as they are on the disk.

        Args:
            split: "train" or "validation".

        Returns:
            The codes.

        Raises:
            FileNotFoundError: if `prepare_data` has not made them.
            ValueError: if they were made with another tokenizer, other images or other views.
        """
        folder = self._folder(split)
        grids = CodeGrids(folder, tokenizer=self.tokenizer_fingerprint, source=self.source.fingerprint)
        if split == "train" and grids.views != self.views:
            raise ValueError(
                f"the codes in {folder} have {grids.views} views of each image, this run asks for views={self.views}; "
                "name another folder for the codes, or remove this one to have it made anew"
            )
        return grids

    def pairs(self, split: Split) -> PairedGrids:
        """The codes of one split beside the conditions of its images.

        Args:
            split: "train" or "validation".

        Returns:
            Both.

        Raises:
            FileNotFoundError: if `prepare_data` has not made them.
            ValueError: if there are no conditions, or they or the codes were made of something else.
        """
        if self.condition_encoder is None:
            raise ValueError("this data has no condition beside its labels; pass condition=, such as ChangedImages()")
        conditions = CodeGrids(
            self._condition_folder(split),
            tokenizer=self.condition_encoder.fingerprint(),
            source=self._condition_images.fingerprint,
        )
        return PairedGrids(self.grids(split), conditions)

    def captioned(self, split: Split) -> CaptionedGrids:
        """The codes of one split with the captions of its images.

        Args:
            split: "train" or "validation".

        Returns:
            Both.

        Raises:
            FileNotFoundError: if `prepare_data` has not made the codes.
            ValueError: if the source has no captions, none are asked for, or the codes were made of something else.
        """
        if self.captions is None or self.vocabulary is None:
            raise ValueError("this data has no captions; pass captions=Captions()")
        return CaptionedGrids(self.grids(split), self.source.captions(split), self.captions, self.vocabulary)

    def _served(self, split: Split) -> CodeGrids | PairedGrids | CaptionedGrids:
        if self.captions is not None:
            return self.captioned(split)
        return self.grids(split) if self.condition is None else self.pairs(split)

    def setup(self, stage: str) -> None:
        """Open the codes, so that a mismatch is found before anything runs."""
        self._served("train" if stage == "fit" else "validation")

    def train_dataloader(self) -> ResumableLoader[CodeBatch | PairedBatch | CaptionedBatch]:
        """Endless shuffled epochs of random views."""
        grids = self._served("train")
        views: RandomCaptions | RandomViews[CodeBatch | PairedBatch]
        if isinstance(grids, CaptionedGrids):
            views = RandomCaptions(grids, seed=self.seed)
        else:
            views = RandomViews(grids, seed=self.seed)
        return ResumableLoader(
            views.batch,
            items=len(grids),
            batch_size=self.batch_size,
            seed=self.seed,
            num_workers=self.num_workers,
            pin_memory=use_pinned_memory(self.pin_memory),
            **share_of_process(self),
        )

    def val_dataloader(self) -> SequentialLoader[CodeBatch | PairedBatch | CaptionedBatch]:
        """Every held-out image once, as it is."""
        grids = self._served("validation")
        return SequentialLoader(
            grids.batch,
            items=len(grids),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=use_pinned_memory(self.pin_memory),
            **share_of_process(self),
        )

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader
