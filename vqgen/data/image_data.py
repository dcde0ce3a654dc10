"""Images for training a tokenizer, as a Lightning data module."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torch import nn

from vqgen.data.augmented import Augmented
from vqgen.data.loaders import ResumableLoader, SequentialLoader
from vqgen.data.source import ImageBatch, ImageSource


class ImageDataModule(pl.LightningDataModule):
    """Serves `ImageBatch`es of a source: shuffled and changed at random for training, as they are for validation.

    Training resumes in the middle of an epoch with the images that were to come, whatever the number of workers and
    processes; the loaders share the images between processes themselves, so the Trainer's `use_distributed_sampler`
    makes no difference.

    Args:
        source: where the images come from.
        batch_size: images per step and process.
        num_workers: processes that read ahead; images held in memory are fastest with 0.
        flip: mirror half of the training images left to right.
        turn: turn training images by a random number of quarters, square ones only.
        shift: move training images by up to this many pixels in each direction.
        transforms: further random changes, such as `torchvision.transforms.v2.ColorJitter`; see `Augmented`.
        seed: decides the order of the images and all random changes.
        pin_memory: use page-locked memory; None does where there is a GPU.

    Example:
        >>> from vqgen.data import SyntheticImages
        >>> data = ImageDataModule(SyntheticImages(8, 16), batch_size=4, flip=True)
        >>> data.image_size, data.num_classes, next(iter(data.train_dataloader())).images.shape
        ((16, 16), 4, torch.Size([4, 3, 16, 16]))
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        flip: bool = False,
        turn: bool = False,
        shift: int = 0,
        transforms: Sequence[nn.Module] = (),
        seed: int = 0,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.flip = flip
        self.turn = turn
        self.shift = shift
        self.transforms = transforms
        self.seed = seed
        self.pin_memory = pin_memory

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.source.image_size

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.source.channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of every class; empty if there are no labels."""
        return self.source.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 if there are no labels."""
        return len(self.class_names)

    def prepare_data(self) -> None:
        """Make what the source has to make (renders, downloads, checked files), on one process before the others."""
        self.source.split("train")
        self.source.split("validation")

    def train_dataloader(self) -> ResumableLoader[ImageBatch]:
        """Endless shuffled epochs of changed images."""
        dataset = self.source.split("train")
        draws = Augmented(
            dataset, seed=self.seed, flip=self.flip, turn=self.turn, shift=self.shift, transforms=self.transforms
        )
        return ResumableLoader(
            draws.batch,
            items=len(dataset),
            batch_size=self.batch_size,
            seed=self.seed,
            num_workers=self.num_workers,
            pin_memory=use_pinned_memory(self.pin_memory),
            **share_of_process(self),
        )

    def val_dataloader(self) -> SequentialLoader[ImageBatch]:
        """Every held-out image once, as it is."""
        dataset = self.source.split("validation")
        return SequentialLoader(
            dataset.batch,
            items=len(dataset),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=use_pinned_memory(self.pin_memory),
            **share_of_process(self),
        )

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader


def share_of_process(data: pl.LightningDataModule) -> dict[str, int]:
    """How many processes train together, and which of them this is."""
    trainer = data.trainer
    return (
        {"num_replicas": 1, "rank": 0}
        if trainer is None
        else {"num_replicas": trainer.world_size, "rank": trainer.global_rank}
    )


def use_pinned_memory(choice: bool | None) -> bool:
    """The user's choice, or whether there is a GPU to copy to."""
    return torch.cuda.is_available() if choice is None else choice
