"""A plan that is done in seconds: a tiny tokenizer and codes that follow a Markov chain along the raster."""

from pathlib import Path

import torch
from torch import nn

from vqgen import Tokenizer
from vqgen.compare import Budget, Plan, PriorPlan, QualityPlan, TokenizerPlan
from vqgen.data import SyntheticImages
from vqgen.data.code_grids import write_code_grids
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder
from vqgen.training import Optimization

CODES, SIDE = 16, 4


def chain_codes(count: int, seed: int) -> torch.Tensor:
    """(count, 4, 4): each code is decided by the one before it in raster order, but for one time in eight."""
    generator = torch.Generator().manual_seed(seed)
    follows = torch.randperm(CODES, generator=torch.Generator().manual_seed(99))
    codes = torch.randint(CODES, (count, SIDE * SIDE), generator=generator)
    surprise = torch.rand(count, SIDE * SIDE, generator=generator) < 0.125
    for step in range(1, SIDE * SIDE):
        codes[:, step] = torch.where(surprise[:, step], codes[:, step], follows[codes[:, step - 1]])
    return codes.view(count, SIDE, SIDE)


def make_plan(workspace: Path, **changes: object) -> Plan:
    """The plan, its tokenizer and its codes, all in one folder."""
    source = SyntheticImages(512, 16, num_classes=2)
    if not (workspace / "codes").exists():
        body = {"channels": 8, "multipliers": (1, 2), "patch": 2, "blocks": 1, "attention_at": (), "latent_channels": 8}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            tokenizer = Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=CODES, dim=4))
        tokenizer.save_pretrained(workspace / "tokenizer")
        for seed, split in enumerate(("train", "validation")):
            dataset = source.split(split)
            write_code_grids(
                workspace / "codes" / split,
                [chain_codes(len(dataset), seed)],
                dataset.labels,
                views=1,
                grid_size=(SIDE, SIDE),
                codebook_size=CODES,
                image_size=source.image_size,
                class_names=source.class_names,
                tokenizer=tokenizer.fingerprint(),
                source=source.fingerprint,
            )
    arguments = {
        "folder": str(workspace / "out"),
        "tokenizer": TokenizerPlan(str(workspace / "tokenizer")),
        "source": source,
        "codes": str(workspace / "codes"),
        "orders": ("raster", "random"),
        "seeds": (0, 1, 2),
        "budget": Budget(steps=40),
        "prior": PriorPlan(dim=32, depth=1, heads=1, dropout=0.1),
        "optimization": Optimization(learning_rate=1e-2, optimizer="muon", newton_schulz_steps=3, warmup_steps=5),
        "batch_size": 32,
        "views": 1,
        "validate_every": 20,
        "checkpoint_every": 10,
        "quality": QualityPlan(images=8, extractor=None, shown=4, batch_size=8),
    }
    return Plan(**{**arguments, **changes})


class MeanColours(nn.Module):
    """Sees the mean of each channel only: a network for FID that needs no weights."""

    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))
