"""Training that a budget ends, that can be killed at any moment, and that keeps its own curve."""

from __future__ import annotations

import statistics
import time
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from vqgen.training.precision import Precision
from vqgen.training.seed_each_step import SeedEachStep


class CurvePoint(NamedTuple):
    """Losses at a step: the mean training loss since the point before, and the validation loss."""

    step: int
    train: float
    validation: float


@dataclass(frozen=True)
class FitRecord:
    """What a training was.

    Attributes:
        steps: optimizer steps done, over all its parts where it was interrupted.
        seconds: time spent in training steps, without validation and saving.
        steps_per_second: one over the median time of a step.
        curve: losses, a point per validation.
    """

    steps: int
    seconds: float
    steps_per_second: float
    curve: tuple[CurvePoint, ...]


def fit_resumably(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    *,
    folder: str | Path,
    seed: int = 0,
    steps: int | None = None,
    seconds: float | None = None,
    validate_every: int = 100,
    validation_batches: int | None = None,
    checkpoint_every: int = 50,
    precision: Precision = "32-true",
    gradient_clip: float | None = 1.0,
) -> FitRecord:
    """Train up to a number of steps or seconds, and go on from the last checkpoint in the folder if there is one.

    Whatever is random in a step depends on (seed, step), so a training that was killed ends with the same weights as
    one that was not (given a number of steps; seconds are counted over all parts).

    Args:
        module: what is trained, such as `PriorModule`; it logs `validation/nll` or `validation/loss`.
        data: its data; loaders that can save their state go on in the middle of an epoch.
        folder: for `last.ckpt`.
        seed: of dropout and random orders.
        steps: optimizer steps, >= 1; or
        seconds: of training with its validations, > 0.
        validate_every: steps between validations; one more comes at the end.
        validation_batches: how many batches a validation looks at; None takes all.
        checkpoint_every: steps between checkpoints: what is lost by a kill, at most. There is one at each validation.
        precision: of the Trainer.
        gradient_clip: largest norm of the gradient; None does not clip.

    Returns:
        The record.

    Raises:
        ValueError: unless exactly one of steps and seconds is given.
    """
    given = steps if seconds is None else seconds
    if (steps is None) == (seconds is None) or given is None or given <= 0:
        raise ValueError(f"give either steps >= 1 or seconds > 0, got steps={steps}, seconds={seconds}")
    last = Path(folder) / "last.ckpt"
    curve = _Curve(last, validate_every=validate_every, checkpoint_every=checkpoint_every)
    trainer = pl.Trainer(
        max_steps=-1 if steps is None else steps,
        max_epochs=-1,
        max_time=None if seconds is None else timedelta(seconds=seconds),
        precision=precision,
        devices=1,
        gradient_clip_val=gradient_clip,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validation_batches is None else validation_batches,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[SeedEachStep(seed), curve],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # A file that was being moved into place when the process was killed is no whole zip archive.
    whole = last.is_file() and zipfile.is_zipfile(last)
    trainer.fit(module, data, ckpt_path=last if whole else None, weights_only=True)
    if not curve.points or curve.points[-1].step < trainer.global_step:
        trainer.validate(module, data, verbose=False)  # which saves, so what follows can be repeated without training
    return FitRecord(trainer.global_step, sum(curve.durations), curve.speed, tuple(curve.points))


class _Curve(pl.Callback):
    """Keeps losses and times of steps, and saves checkpoints with them: an interrupted training has one curve.

    Where a step is validated, the checkpoint comes after that: Lightning would save before it, and a training that goes
    on from there would lack the validation.
    """

    def __init__(self, path: Path, *, validate_every: int, checkpoint_every: int) -> None:
        self.path = path
        self.validate_every = validate_every
        self.checkpoint_every = checkpoint_every
        self.points: list[CurvePoint] = []
        self.durations: list[float] = []
        self.losses: list[Tensor] = []  # left on the device until a validation, so that no step waits
        self._started = 0.0

    @property
    def speed(self) -> float:
        return 1.0 / statistics.median(self.durations) if self.durations else 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.durations.append(time.perf_counter() - self._started)
        self.losses.append(outputs["loss"].detach())
        step = trainer.global_step
        if step % self.checkpoint_every == 0 and step % self.validate_every:
            trainer.save_checkpoint(self.path)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = trainer.callback_metrics
        validation = found.get("validation/nll", found.get("validation/loss"))
        losses = [loss.item() for loss in self.losses]
        self.losses.clear()
        self.points.append(
            CurvePoint(
                trainer.global_step,
                statistics.fmean(losses) if losses else float("nan"),
                float("nan") if validation is None else float(validation),
            )
        )
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {
            "points": [list(point) for point in self.points],
            "durations": list(self.durations),
            "losses": [loss.item() for loss in self.losses],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points = [CurvePoint(*point) for point in state_dict["points"]]
        self.durations = list(state_dict["durations"])
        self.losses = [Tensor([loss])[0] for loss in state_dict["losses"]]
