"""`vqgen quickstart`: both stages on OpenMoji, in a few minutes on any machine.

Reads from top to bottom as what a user would do by hand: images, tokenizer, codes, prior, samples.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from rich.prompt import Confirm

import vqgen
from vqgen.data import ImageSource, OpenMoji
from vqgen.data.code_data import CodeDataModule
from vqgen.data.image_data import ImageDataModule
from vqgen.data.openmoji_table import ATTRIBUTION
from vqgen.losses import ReconstructionLoss
from vqgen.pictures import labelled_rows, save_filling_gif, save_picture
from vqgen.pipeline import Pipeline
from vqgen.prior import Prior
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.sampling import guidance_ramp
from vqgen.tokenizer import Decoder, Encoder, Tokenizer
from vqgen.training.optimization import Optimization
from vqgen.training.precision import fastest_precision
from vqgen.training.prior import PriorModule
from vqgen.training.seed_each_step import SeedEachStep
from vqgen.training.timed_progress import TimedProgress
from vqgen.training.tokenizer import TokenizerModule

PICTURE_SECONDS = 12.0
TRAINING_SECONDS = 20.0  # less would teach nothing
TOKENIZER_SHARE = 0.66
SAMPLES_PER_CLASS = 8
SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_k": 50, "guidance": 9.0, "guidance_ramp": "linear"}

console = Console()


def quickstart(
    out: str | Path = "runs/quickstart",
    *,
    minutes: float = 7.75,
    order: str = "bit-reversal",
    overwrite: bool = False,
    seed: int = 0,
    source: ImageSource | None = None,
) -> Path:
    """Train a tokenizer and a prior on OpenMoji at 64 x 64 and draw new emoji.

    Args:
        out: folder for `tokenizer/`, `prior/`, `reconstructions.png`, `samples.png`, `generation.gif`, `metrics.json`.
        minutes: time to spend in all, > 1; more gives better pictures.
        order: scan order of the codes, by name; coarse to fine draws clearer pictures than raster in this time.
        overwrite: replace what an earlier run left in the folder without asking.
        seed: of everything random.
        source: other images, with classes.

    Returns:
        The folder.

    Raises:
        FileExistsError: if the folder holds an earlier run and may not be overwritten.
        ValueError: if there is too little time.
    """
    start = time.perf_counter()
    out = Path(out)
    least = (PICTURE_SECONDS + TRAINING_SECONDS) / 60
    if minutes < least:
        raise ValueError(f"expected minutes to be at least {least:.2f}, got {minutes:g}")
    _ask_before_overwriting(out, overwrite)
    _quiet()
    pl.seed_everything(seed, verbose=False)
    precision = fastest_precision()
    console.print(f"vqgen quickstart: {minutes:g} minutes, {torch.get_num_threads()} threads, {precision}, into {out}/")

    images = source or OpenMoji(size=64)
    image_data = ImageDataModule(images, batch_size=8, flip=True, turn=True, shift=4, seed=seed)
    budget = minutes * 60 - PICTURE_SECONDS
    tokenizer = make_tokenizer()
    first = TokenizerModule(
        tokenizer,
        loss=ReconstructionLoss(l1=2.0, l2=8.0),
        optimization=Optimization(
            learning_rate=6e-3, optimizer="muon", newton_schulz_steps=3, weight_decay=0.0, warmup_steps=30
        ),
        pictures=0,
    )
    until = start + TOKENIZER_SHARE * budget
    trainer = make_trainer("tokenizer", ("train/loss", "train/perplexity"), until, precision, out, seed)
    trainer.fit(first, image_data)
    reconstruction = trainer.validate(first, image_data, verbose=False)[0]
    first.save_pretrained(out / "tokenizer")
    tokenizer_steps = trainer.global_step
    console.print(
        f"  reconstructions of {len(images.split('validation'))} held-out images: "
        f"PSNR {reconstruction['validation/psnr']:.2f} dB, "
        f"{reconstruction['validation/codebook_used']:.0%} of the codes in use"
    )

    code_data = CodeDataModule(str(out / "tokenizer"), images, views=3, batch_size=16, seed=seed)
    code_data.prepare_data()
    second = PriorModule(
        str(out / "tokenizer"),
        make_prior,
        images.image_size,
        len(images.class_names),
        use_codebook=True,
        order=order,
        optimization=Optimization(
            learning_rate=2e-3, optimizer="muon", newton_schulz_steps=3, weight_decay=0.1, warmup_steps=30
        ),
        samples=0,
    )
    until = start + budget
    trainer = make_trainer("prior", ("train/nll",), until, precision, out, seed)
    trainer.fit(second, code_data)
    likelihood = trainer.validate(second, code_data, verbose=False)[0]
    pipeline = second.pipeline
    pipeline.save_pretrained(out)
    console.print(f"  {likelihood['validation/nll']:.3f} nats per code on held-out images")

    show(pipeline, images, out, seed)
    seconds = round(time.perf_counter() - start, 1)
    metrics = {
        "validation": {
            key.removeprefix("validation/"): value for key, value in {**reconstruction, **likelihood}.items()
        },
        "steps": {"tokenizer": tokenizer_steps, "prior": trainer.global_step},
        "parameters": {"tokenizer": count(tokenizer), "prior": count(second.prior)},
        "order": pipeline.order.describe(),
        "sampling": SAMPLING,
        "seed": seed,
        "seconds": seconds,
        "precision": precision,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": {"vqgen": vqgen.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    say_where(out, images, seconds)
    return out


def make_tokenizer() -> Tokenizer:
    """A small VQGAN body for 64 x 64 images: 8 x 8 codes, most of the work at low resolution."""
    size: dict[str, Any] = {
        "channels": 48,
        "multipliers": (1, 2),
        "patch": 4,
        "blocks": 1,
        "attention_at": (),
        "latent_channels": 128,
    }
    return Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=2048, dim=32, commitment=1.0))


def make_prior(codebook_size: int, height: int, width: int, num_classes: int) -> Prior:
    """A small Transformer for an 8 x 8 grid."""
    return Prior(codebook_size, height, width, num_classes, dim=128, depth=6, heads=2, dropout=0.1)


def make_trainer(
    title: str, metrics: tuple[str, ...], until: float, precision: Any, out: Path, seed: int
) -> pl.Trainer:
    """A Trainer that stops at a moment of `time.perf_counter`."""
    return pl.Trainer(
        max_epochs=-1,
        max_time=timedelta(seconds=max(5.0, until - time.perf_counter())),
        precision=precision,
        devices=1,
        gradient_clip_val=1.0,
        limit_val_batches=1.0,
        check_val_every_n_epoch=10**9,
        num_sanity_val_steps=0,
        logger=CSVLogger(out, name="logs", version=title),
        log_every_n_steps=10,
        callbacks=[SeedEachStep(seed), TimedProgress(title, metrics)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def show(pipeline: Pipeline, images: ImageSource, out: Path, seed: int) -> None:
    """Write the pictures."""
    held_out = images.split("validation")
    originals = torch.stack([held_out[i].images for i in range(0, len(held_out), max(1, len(held_out) // 12))])[:12]
    credit = ATTRIBUTION if isinstance(images, OpenMoji) else ""
    rows = [("held-out image", originals), ("reconstruction", pipeline.reconstruct(originals))]
    save_picture(labelled_rows(rows, zoom=2, caption=credit), out / "reconstructions.png")
    labels = [name for name in images.class_names for _ in range(SAMPLES_PER_CLASS)]
    guidance = guidance_ramp(SAMPLING["guidance_ramp"], SAMPLING["guidance"])
    filters = {"temperature": SAMPLING["temperature"], "top_k": SAMPLING["top_k"]}
    samples = pipeline.generate(len(labels), labels, seed=seed, guidance=guidance, **filters)
    groups = list(zip(images.class_names, torch.split(samples, SAMPLES_PER_CLASS), strict=True))
    caption = f"Drawn by a model that learned from OpenMoji. {credit}" if credit else ""
    save_picture(labelled_rows(groups, zoom=2, caption=caption), out / "samples.png")
    first_of_each = torch.stack([group[0] for _, group in groups])[:8]
    save_filling_gif(first_of_each, pipeline.resolve_order(None), out / "generation.gif", columns=4)


def say_where(out: Path, images: ImageSource, seconds: float) -> None:
    """Tell what was written and what to type next."""
    console.print(f"\nDone in {seconds / 60:.1f} minutes. In {out}/:")
    for name, what in (
        ("reconstructions.png", "held-out images through the tokenizer and back"),
        ("samples.png", "new images, a row per class"),
        ("generation.gif", "how they are filled in, in scan order"),
        ("metrics.json", "figures"),
        ("tokenizer/, prior/", "the models, for Pipeline.from_pretrained"),
    ):
        console.print(f"  {name:20} {what}")
    console.print("\nNext:", style="bold")
    name = images.class_names[min(2, len(images.class_names) - 1)]
    flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in SAMPLING.items())
    console.print(f"  vqgen sample {out} --n 16 --condition {name} {flags} --out samples.png", soft_wrap=True)
    console.print(f"  vqgen quickstart --minutes 20 --order hilbert --out {out}-hilbert", soft_wrap=True)


def count(model: torch.nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def _ask_before_overwriting(out: Path, overwrite: bool) -> None:
    if overwrite or not out.exists() or not any(out.iterdir()):
        return
    if sys.stdin.isatty() and Confirm.ask(f"{out} holds an earlier run. Overwrite it?", default=False):
        return
    raise FileExistsError(f"{out} holds an earlier run; pass --overwrite to replace it, or another folder with --out")


def _quiet() -> None:
    """Lightning's notices say nothing to a newcomer."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
