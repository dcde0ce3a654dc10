"""Randomness that depends on the step alone, so that a resumed run draws what an unbroken one would have drawn."""

from typing import Any

import pytorch_lightning as pl
import torch


class SeedEachStep(pl.Callback):
    """Seeds torch's generators from (seed, process, batch number) before every training batch.

    A checkpoint does not hold the state of the random generators. With this callback it need not: dropout, label
    dropout, random orders and codebook restarts of a step are the same whether the run came there in one go or was
    resumed.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed for this batch."""
        batches = trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed((self.seed * 1_000_003 + batches) * 4096 + trainer.global_rank)
