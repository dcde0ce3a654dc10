"""A progress bar of a training that has a time limit: losses, speed, and the time that is left."""

import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vqgen.training.optimization import progress

SECONDS_BETWEEN_FIGURES = 0.1
"""The bar is not drawn more often. Reading a metric off a GPU waits for all that it has to do, so no step does it."""


class TimedProgress(pl.Callback):
    """Shows one bar from the start of training to its limit in steps, epochs or time, whichever comes first.

    Args:
        title: what is being trained.
        metrics: names of logged metrics to show beside the bar.
    """

    def __init__(self, title: str, metrics: tuple[str, ...]) -> None:
        self.metrics = metrics
        self.read_at = -SECONDS_BETWEEN_FIGURES
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[figures]}"),
        )
        self.task = self.bar.add_task(title, total=1.0, figures="")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on, if the bar is due to be drawn."""
        now = time.monotonic()
        if now - self.read_at < SECONDS_BETWEEN_FIGURES:
            return
        self.read_at = now
        shown = [
            f"{name.rpartition('/')[2]} {float(trainer.callback_metrics[name]):.2f}"
            for name in self.metrics
            if name in trainer.callback_metrics
        ]
        figures = f"step {trainer.global_step}  " + "  ".join(shown)
        self.bar.update(self.task, completed=progress(trainer, trainer.global_step), figures=figures)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar standing."""
        self.bar.update(self.task, completed=1.0)
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.bar.stop()
