"""Codes to train small priors on: of Fashion-MNIST and OpenMoji from small tokenizers, made once."""

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqgen.data import ImageSource, OpenMoji, SyntheticImages, TorchvisionImages
from vqgen.losses import ReconstructionLoss
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer
from vqgen.training import Optimization
from vqgen.training.muon import MuonAdamW

ROOT = Path(__file__).parents[1]
DATA_SETS = {"fashion-mnist": "Fashion-MNIST", "openmoji": "OpenMoji"}


@dataclass(frozen=True)
class CodeSet:
    """A tokenizer, and the codes of its images.

    Attributes:
        tokenizer: with 8 x 8 codes an image, or 16 x 16.
        training: (b, h, w) int64 codes of training images.
        held_out: (b, h, w) int64 codes of held-out images.
        images: (b, c, H, W) those held-out images.
    """

    tokenizer: Tokenizer
    training: Tensor
    held_out: Tensor
    images: Tensor


def source_of(name: str, data: Path, *, quick: bool) -> ImageSource:
    if quick:
        return SyntheticImages(96, 32, channels=1)
    if name == "openmoji":
        return OpenMoji(size=64)
    prepare = runpy.run_path(str(ROOT / "scripts" / "prepare_fashion_mnist.py"))
    prepare["unpack"](prepare["INSTALLED"], data)
    return TorchvisionImages("FashionMNIST", data, 32, channels=1, labels=False)


def code_set(name: str, *, folder: Path, data: Path, held_out: int, quick: bool = False, grid: int = 8) -> CodeSet:
    """The codes of a data set; tokenizer and codes are made where the folder has none.

    Args:
        name: a key of `DATA_SETS`.
        folder: holds, or will hold, a folder of that name.
        data: where Fashion-MNIST is unpacked.
        held_out: how many held-out images to take at most.
        quick: made images and a toy tokenizer, written nowhere.
        grid: codes a side, 8 or 16.

    Returns:
        Tokenizer, codes and held-out images.
    """
    source = source_of(name, data, quick=quick)
    training, validation = source.split("train"), source.split("validation")
    images = validation.batch(range(min(held_out, len(validation)))).images
    place = folder / (name if grid == 8 else f"{name}-{grid}")
    if not quick and (place / "codes.npy").exists():
        tokenizer = Tokenizer.from_pretrained(place / "tokenizer")
        codes = torch.from_numpy(np.load(place / "codes.npy")).long()
        return CodeSet(tokenizer, codes, encode(tokenizer, images), images)
    count = min(20_000, len(training))
    steps = 2 if quick else 600
    torch.manual_seed(0)
    tokenizer = small_tokenizer(images.shape[1], patch=images.shape[2] // 16, codes=16 if quick else 512, grid=grid)
    train_tokenizer(tokenizer, training, steps=steps)
    codes = torch.cat(
        [
            encode(tokenizer, view)
            for start in range(0, count, 500)
            for part in [training.batch(range(start, min(start + 500, count))).images]
            for view in (part, part.flip(-1))
        ]
    )
    if not quick:
        tokenizer.save_pretrained(place / "tokenizer")
        np.save(place / "codes.npy", codes.numpy().astype(np.int16))
    return CodeSet(tokenizer, codes, encode(tokenizer, images), images)


def small_tokenizer(channels: int, *, patch: int, codes: int, grid: int = 8) -> Tokenizer:
    """A tokenizer to 8 x 8 or 16 x 16 codes, of images of 16 patches a side."""
    body: dict[str, Any] = {
        "channels": 32,
        "multipliers": (1, 2) if grid == 8 else (2,),
        "patch": patch,
        "blocks": 1,
        "attention_at": (),
        "latent_channels": 64,
    }
    encoder, decoder = Encoder(in_channels=channels, **body), Decoder(out_channels=channels, **body)
    quantizer = EMAVectorQuantizer(codes, 32, commitment=1.0)
    return Tokenizer(encoder, decoder, quantizer).to(memory_format=torch.channels_last)


def train_tokenizer(tokenizer: Tokenizer, training: Any, *, steps: int, batch_size: int = 16) -> None:
    """By pixels, with Muon, over mirrored images."""
    loss_of = ReconstructionLoss(l1=2.0, l2=8.0)
    groups = Optimization(4e-3, "muon", weight_decay=0.0).parameter_groups(tokenizer, [])
    optimizer = MuonAdamW(groups, lr=4e-3, newton_schulz_steps=3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 30, 1.05 - step / steps))
    generator = torch.Generator().manual_seed(0)
    tokenizer.train()
    for _ in range(steps):
        drawn = torch.randint(len(training), (batch_size,), generator=generator).tolist()
        images = training.batch(drawn).images.contiguous(memory_format=torch.channels_last)
        images = images if torch.rand((), generator=generator) < 0.5 else images.flip(-1)
        result = tokenizer(images)
        optimizer.zero_grad()
        (loss_of(result.images, images) + result.quantizer_loss).backward()
        torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    tokenizer.eval()


@torch.no_grad()
def encode(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    tokenizer.eval()
    return torch.cat([tokenizer.encode(part) for part in torch.split(images, 250)])
