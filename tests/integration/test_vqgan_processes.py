"""Two processes train a tokenizer and its discriminator to what one process learns from all the images."""

import os
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vqgen.data.source import ImageBatch
from vqgen.losses import AdversarialSchedule, Adversary, PatchDiscriminator
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer
from vqgen.training import Optimization, VQGANModule

# So small a rate that codes do not change: a code that flips by a rounding error would change all that follows.
SLOW = Optimization(1e-6, warmup_steps=0)


class Gradients(pl.Callback):
    """Keeps the gradients with which both optimizers step."""

    def __init__(self):
        self.seen = []

    def on_train_start(self, trainer, pl_module):
        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(self.keep)

    def keep(self, optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.seen.append(torch.cat([gradient.flatten() for gradient in gradients]))


def train(devices: int) -> dict[str, list[torch.Tensor]]:
    """The gradients of three steps on the same 24 images, and the weights they lead to."""
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention_at": (), "latent_channels": 8}
    quantizer = VectorQuantizer(16, 4, kmeans_start=False, restart_below=0.0)
    discriminator = PatchDiscriminator(channels=8, layers=1, normalisation="none")
    heard = AdversarialSchedule(start=0, alone=1, ramp=2, weight=0.5)
    module = VQGANModule(
        Tokenizer(Encoder(**size), Decoder(**size), quantizer),
        Adversary(discriminator, schedule=heard, lecam=0.1, r1=0.1, r1_every=2),
        optimization=SLOW,
        adversary_optimization=SLOW,
        gradient_clip=None,
        pictures=0,
    )
    images = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    gradients = Gradients()
    trainer = pl.Trainer(
        max_steps=3,
        accelerator="cpu",
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
        callbacks=[gradients],
        use_distributed_sampler=False,
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Every other image to each of two processes: their batches together are the one process' batch.
    items = [ImageBatch(image, torch.tensor(-1)) for image in images[int(os.environ.get("LOCAL_RANK", 0)) :: devices]]
    trainer.fit(module, DataLoader(items, batch_size=8 // devices))
    return {"gradients": gradients.seen, "weights": list(module.state_dict().values())}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_all(tmp_path):
    subprocess.run(
        [sys.executable, __file__], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=300
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))
    alone = train(devices=1)["gradients"]
    assert len(alone) == len(first["gradients"]) == 6
    for expected, found in zip(alone, first["gradients"], strict=True):
        assert (found - expected).norm() < 1e-3 * expected.norm()


if __name__ == "__main__":  # run by Lightning once for each process
    found = train(devices=2)
    torch.save(found, f"{os.environ.get('LOCAL_RANK', 0)}.pt")
