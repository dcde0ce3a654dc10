"""A run that stops and goes on reads exactly what a run that never stopped reads."""

import copy
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from vqgen.data import Augmented, ImageBatch, ResumableLoader, SyntheticImages
from vqgen.data.image_data import ImageDataModule

SOURCE = SyntheticImages(14, 8)


def make_loader(num_workers: int = 0, num_replicas: int = 1, rank: int = 0) -> ResumableLoader[ImageBatch]:
    draws = Augmented(SOURCE.split("train"), seed=2, flip=True, shift=1)
    return ResumableLoader(
        draws.batch,
        items=14,
        batch_size=2,
        seed=3,
        num_workers=num_workers,
        num_replicas=num_replicas,
        rank=rank,
    )


def two_epochs(loader: ResumableLoader[ImageBatch]) -> list[Tensor]:
    return [batch.images for _ in range(2) for batch in loader]


@pytest.mark.parametrize("num_replicas", [1, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5])
def test_what_follows_a_state_is_what_would_have_followed(stop: int, num_replicas: int) -> None:
    for rank in range(num_replicas):
        whole = two_epochs(make_loader(num_replicas=num_replicas, rank=rank))
        stopped = make_loader(num_replicas=num_replicas, rank=rank)
        batches = (batch for _ in range(2) for batch in stopped)
        for _ in range(stop):
            next(batches)
        state = copy.deepcopy(stopped.state_dict())
        resumed = make_loader(num_replicas=num_replicas, rank=rank)
        resumed.load_state_dict(state)
        rest = two_epochs(resumed)[: len(whole) - stop]
        assert rest
        assert all(map(torch.equal, rest, whole[stop:]))


def test_workers_change_nothing_and_do_not_run_ahead_of_the_state() -> None:
    whole = two_epochs(make_loader())
    stopped = make_loader(num_workers=2)
    batches = iter(stopped)
    first = [next(batches).images for _ in range(3)]
    state = stopped.state_dict()
    del batches
    resumed = make_loader(num_workers=2)
    resumed.load_state_dict(state)
    both = first + two_epochs(resumed)
    assert len(both) == 14
    assert all(map(torch.equal, both, whole))


def test_processes_together_read_what_one_process_reads() -> None:
    draws = Augmented(SOURCE.split("train"), seed=2, flip=True, shift=1)
    alone = ResumableLoader(draws.batch, items=14, batch_size=4, seed=3)
    shares = [make_loader(num_replicas=2, rank=rank) for rank in range(2)]
    for _ in range(2):
        for whole, *parts in zip(alone, *shares, strict=True):
            assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
            assert torch.equal(whole.labels, torch.cat([part.labels for part in parts]))


class Recorder(pl.LightningModule):
    """Remembers what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, float]] = []

    def training_step(self, batch: ImageBatch, batch_index: int) -> Tensor:
        self.seen.append((self.global_step, batch.images.double().sum().item()))
        return self.weight.sum()

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        assert batch.images.shape[1:] == (3, 8, 8)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(steps: int, *, checkpoint: Path | None = None, callback: ModelCheckpoint | None = None) -> Recorder:
    model = Recorder()
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        callbacks=[callback] if callback else [],
        enable_checkpointing=callback is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    data = ImageDataModule(SOURCE, batch_size=4, flip=True, shift=1, seed=6)  # three steps an epoch
    trainer.fit(model, data, ckpt_path=checkpoint)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("when", [{"every_n_train_steps": 1}, {"every_n_epochs": 1}], ids=["steps", "epochs"])
def test_a_trainer_resumed_at_any_checkpoint_goes_on_with_the_right_images(
    tmp_path: Path, when: dict[str, int]
) -> None:
    callback = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **when)
    whole = fit(8, callback=callback).seen
    assert len({total for _, total in whole}) == 8
    checkpoints = sorted(tmp_path.glob("step=*.ckpt"))
    assert len(checkpoints) >= 3
    for checkpoint in checkpoints:
        step = int(checkpoint.stem.split("=")[1].split("-")[0])
        assert fit(8, checkpoint=checkpoint).seen == whole[step:]
