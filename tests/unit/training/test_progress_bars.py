"""Progress bars read metrics seldom: on a GPU each reading waits for all work."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

from vqgen.training import timed_progress
from vqgen.training.cli import draw_seldom
from vqgen.training.timed_progress import TimedProgress


def trainer(**options):
    return pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", **options)


def test_lightning_s_own_bar_is_drawn_at_the_steps_that_are_logged():
    bars = [
        each for each in draw_seldom(trainer(log_every_n_steps=20)).callbacks if "ProgressBar" in type(each).__name__
    ]
    assert [bar.refresh_rate for bar in bars] == [20]


def test_a_chosen_bar_and_no_bar_stay():
    chosen = TQDMProgressBar(refresh_rate=3)
    assert draw_seldom(trainer(callbacks=[chosen])).progress_bar_callback is chosen
    assert draw_seldom(trainer(enable_progress_bar=False)).progress_bar_callback is None


def test_timed_progress_reads_metrics_only_when_the_bar_is_due(monkeypatch):
    clock = iter([100.0, 100.01, 100.02, 100.2])
    monkeypatch.setattr(timed_progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    read = []

    class Metric:
        def __float__(self):
            read.append(self)
            return 1.0

    fake = MagicMock(spec=pl.Trainer)
    fake.callback_metrics, fake.global_step = {"train/nll": Metric()}, 5
    fake.max_steps, fake.max_epochs, fake.callbacks = 10, None, []
    bar = TimedProgress("prior", ("train/nll",))
    for _ in range(4):
        bar.on_train_batch_end(fake, MagicMock(spec=pl.LightningModule), None, None, 0)
    assert len(read) == 2
    assert bar.bar.tasks[0].fields["figures"] == "step 5  nll 1.00"
