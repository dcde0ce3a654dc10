"""Two processes under an annealed order: the same step in both, orders of their own, and resumed as if unbroken."""

import os
import subprocess
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vqgen import Prior, Tokenizer
from vqgen.data.code_grids import CodeBatch
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder
from vqgen.training import Optimization, PriorModule, SeedEachStep

BATCH = CodeBatch(torch.arange(24).reshape(2, 3, 4) % 7, torch.full((2,), -1))


class RecordingModule(PriorModule):
    """Keeps the step it counts and the positions it draws."""

    def loss(self, *args, **options):
        positions = self.policy.at(self.steps_done).positions
        state = torch.get_rng_state()  # so that what is drawn to look at changes nothing
        self.seen = [*getattr(self, "seen", []), (self.steps_done, positions(2))]
        torch.set_rng_state(state)
        return super().loss(*args, **options)


def small_prior(codebook_size: int, height: int, width: int, num_classes: int) -> Prior:
    return Prior(codebook_size, height, width, num_classes, dim=16, depth=1, heads=2)


def fit(max_steps: int, **options) -> tuple[RecordingModule, pl.Trainer]:
    torch.manual_seed(0)
    module = RecordingModule(
        "tokenizer",
        small_prior,
        (6, 8),
        order="annealed:random-per-sample->hilbert@0-8",
        optimization=Optimization(1e-2, warmup_steps=0, schedule="constant"),
        samples=0,
    )
    trainer = pl.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        accumulate_grad_batches=2,
        callbacks=[SeedEachStep()],
        use_distributed_sampler=False,
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader([BATCH] * 16, batch_size=None), **options)
    return module, trainer


def test_two_processes_resume_an_annealed_order_to_the_same_weights(tmp_path):
    size = {"channels": 8, "multipliers": (1, 1), "blocks": 1, "attention_at": (), "latent_channels": 8}
    Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(8, 4)).save_pretrained(tmp_path / "tokenizer")
    subprocess.run(
        [sys.executable, __file__], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=300
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for found in (first, second):
        assert [step for step, _ in found["seen"]] == [step for step in range(8) for _ in range(2)]
    at_random = [not torch.equal(a, b) for (_, a), (_, b) in zip(first["seen"], second["seen"], strict=True)]
    assert all(at_random[:4])
    for name, weight in first["unbroken"].items():
        assert torch.equal(weight, second["unbroken"][name])
        assert torch.equal(weight, first["resumed"][name])
    assert first["order"] == "hilbert"


if __name__ == "__main__":
    unbroken, _ = fit(8)
    half, trainer = fit(4)
    trainer.save_checkpoint("half.ckpt")
    resumed, trainer = fit(8, ckpt_path="half.ckpt")
    torch.save(
        {
            "seen": unbroken.seen,
            "unbroken": unbroken.state_dict(),
            "resumed": resumed.state_dict(),
            "order": resumed.pipeline.order.name,
        },
        Path(f"{trainer.global_rank}.pt"),
    )
