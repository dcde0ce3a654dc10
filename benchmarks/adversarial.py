"""What the adversarial part does to a trained tokenizer: on from the same point, without it and with it.

    python benchmarks/adversarial.py            # the table in vqgen/losses/README.md, about 12 minutes on 2 cores
    python benchmarks/adversarial.py --quick    # toy size on made images, to see that it runs; writes nothing
    python benchmarks/adversarial.py --only openmoji --steps 400    # part of it; writes nothing

A tokenizer learns to reconstruct OpenMoji (64 x 64) or Fashion-MNIST (32 x 32, grey). From there it goes on three
times, for equally many steps, with the same images and the same random numbers: by pixels alone, by pixels and a
discriminator, and by pixels, features and a discriminator. Measured on held-out images: PSNR, and FID and KID between
images and reconstructions in EfficientNet-lite0's features (extra `lite0`). Mind that the third way has seen these
features in training, and the second has not.
"""

import argparse
import copy
import json
import logging
import os
import platform
import runpy
import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from vqgen.data import ImageSource, OpenMoji, SyntheticImages, TorchvisionImages
from vqgen.data.image_data import ImageDataModule
from vqgen.data.openmoji_table import ATTRIBUTION
from vqgen.losses import AdversarialSchedule, Adversary, Lite0Distance, PatchDiscriminator, ReconstructionLoss
from vqgen.metrics import feature_extractor, psnr, set_distance
from vqgen.pictures import labelled_rows, save_picture
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer
from vqgen.training import Optimization, SeedEachStep, TokenizerModule, VQGANModule

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "adversarial.json"
README = ROOT / "vqgen" / "losses" / "README.md"
BEGIN, END = "<!-- adversarial: begin -->", "<!-- adversarial: end -->"


@dataclass(frozen=True)
class Recipe:
    """What differs between the two data sets."""

    title: str
    channels: int
    patch: int
    codes: int
    batch_size: int
    shift: int
    learning_rate: float
    loss: tuple[float, float]
    base_steps: int
    steps: int
    lecam: float
    weight: float


RECIPES = {
    "openmoji": Recipe("OpenMoji", 3, 4, 1024, 8, 4, 6e-3, (2.0, 8.0), 1200, 500, 0.01, 0.4),
    "fashion-mnist": Recipe("Fashion-MNIST", 1, 2, 512, 16, 2, 4e-3, (1.0, 4.0), 800, 400, 0.01, 0.4),
}
ADVERSARY_RATE = 1e-3
WAYS = {
    "pixels": "on by pixels alone",
    "adversarial": "on with a discriminator",
    "perceptual": "on with features and a discriminator",
}


def images_of(name: str, arguments: argparse.Namespace) -> ImageSource:
    if arguments.quick:
        return SyntheticImages(64, 32, channels=RECIPES[name].channels)
    if name == "openmoji":
        return OpenMoji(size=64)
    prepare = runpy.run_path(str(ROOT / "scripts" / "prepare_fashion_mnist.py"))
    prepare["unpack"](prepare["INSTALLED"], arguments.data)
    return TorchvisionImages("FashionMNIST", arguments.data, 32, channels=1, labels=False)


def make_tokenizer(recipe: Recipe, quick: bool) -> Tokenizer:
    torch.manual_seed(0)
    body: dict[str, Any] = {
        "channels": 16 if quick else 48,
        "multipliers": (1, 2),
        "patch": recipe.patch,
        "blocks": 1,
        "attention_at": (),
        "latent_channels": 16 if quick else 128,
    }
    quantizer = EMAVectorQuantizer(16 if quick else recipe.codes, 32, commitment=1.0)
    return Tokenizer(
        Encoder(in_channels=recipe.channels, **body), Decoder(out_channels=recipe.channels, **body), quantizer
    )


def fit(module: pl.LightningModule, data: ImageDataModule, steps: int, folder: Path, **options: Any) -> None:
    average = EMAWeightAveraging(decay=min(0.99, 1 - 1 / steps), use_buffers=False)
    trainer = pl.Trainer(
        max_steps=steps,
        precision=options.pop("precision"),
        accelerator="cpu",
        logger=CSVLogger(folder.parent, name="", version=folder.name),
        log_every_n_steps=10,
        callbacks=[SeedEachStep(0), average],
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, data)


def optimization(recipe: Recipe, *, share: float = 1.0) -> Optimization:
    return Optimization(recipe.learning_rate * share, "muon", weight_decay=0.0, warmup_steps=30)


def go_on(way: str, tokenizer: Tokenizer, recipe: Recipe, steps: int) -> pl.LightningModule:
    """The module that goes on with the tokenizer in one of the three ways."""
    loss = ReconstructionLoss(*recipe.loss)
    gently = optimization(recipe, share=0.25)
    if way == "pixels":
        return TokenizerModule(tokenizer, loss, gently, pictures=0)
    torch.manual_seed(1)
    discriminator = PatchDiscriminator(recipe.channels, channels=32, layers=2, normalisation="group")
    schedule = AdversarialSchedule(start=0, alone=steps // 4, ramp=steps // 4, weight=recipe.weight)
    return VQGANModule(
        tokenizer,
        Adversary(discriminator, schedule=schedule, lecam=recipe.lecam, shift=4),
        loss,
        perceptual=Lite0Distance() if way == "perceptual" else None,
        optimization=gently,
        adversary_optimization=Optimization(
            ADVERSARY_RATE, betas=(0.5, 0.9), weight_decay=0.0, warmup_steps=0, schedule="constant"
        ),
        pictures=0,
    )


class Measurement:
    """Held-out images and their features, with which to measure tokenizers."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.network = feature_extractor("lite0").to(memory_format=torch.channels_last)
        self.reference = self.features(images)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(part) for part in torch.split(images, 50)])

    def __call__(self, tokenizer: Tokenizer) -> tuple[Tensor, dict[str, float]]:
        """Reconstructions and figures."""
        tokenizer.eval()
        decoded = torch.cat([tokenizer.decode(tokenizer.encode(part)) for part in torch.split(self.images, 100)])
        metric = psnr()
        metric.update(decoded, self.images)
        distance = set_distance(self.reference, self.features(decoded))
        return decoded, {"psnr": metric.compute().item(), "fid_lite0": distance.fid, "kid_lite0": distance.kid}


def run(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One data set: the start, and the three ways on from it."""
    recipe = RECIPES[name]
    source = images_of(name, arguments)
    base_steps, steps = (4, 8) if arguments.quick else (recipe.base_steps, arguments.steps or recipe.steps)
    data = ImageDataModule(source, batch_size=recipe.batch_size, flip=True, shift=recipe.shift)
    held_out = source.split("validation")
    measure = Measurement(held_out.batch(range(min(arguments.images, len(held_out)))).images)
    shown = slice(0, len(measure.images), max(1, len(measure.images) // 10))
    rows = [("held-out image", measure.images[shown][:10])]

    def record(title: str, tokenizer: Tokenizer, seconds: float) -> dict[str, Any]:
        decoded, figures = measure(tokenizer)
        rows.append((title, decoded[shown][:10]))
        print(f"{recipe.title:14s} {title:38s} {figures} {seconds:.0f} s", flush=True)
        return {"title": title, **figures, "seconds": seconds}

    start = time.perf_counter()
    tokenizer = make_tokenizer(recipe, arguments.quick)
    saved = arguments.base and arguments.base / name
    if saved and saved.exists():
        tokenizer = Tokenizer.from_pretrained(saved)
    else:
        module = TokenizerModule(tokenizer, ReconstructionLoss(*recipe.loss), optimization(recipe), pictures=0)
        fit(
            module,
            data,
            base_steps,
            folder / f"{name}-before",
            precision=arguments.precision,
            gradient_clip_val=1.0,
        )
        if saved:
            tokenizer.save_pretrained(saved)
    results = {"before": record("before", tokenizer, time.perf_counter() - start)}
    for way in arguments.ways:
        title = WAYS[way]
        start = time.perf_counter()
        going_on = copy.deepcopy(tokenizer).train()
        going_on.quantizer.train()
        clip = {"gradient_clip_val": 1.0} if way == "pixels" else {}
        fit(
            go_on(way, going_on, recipe, steps),
            data,
            steps,
            folder / f"{name}-{way}",
            precision=arguments.precision,
            **clip,
        )
        results[way] = record(title, going_on, time.perf_counter() - start)
    caption = ATTRIBUTION if isinstance(source, OpenMoji) else ""
    save_picture(labelled_rows(rows, zoom=2, caption=caption), folder / f"{name}.png")
    return {
        "title": recipe.title,
        "held_out": len(measure.images),
        "base_steps": base_steps,
        "steps": steps,
        "results": results,
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        "| images | tokenizer | PSNR, dB | FID-lite0 | KID-lite0 x 1000 | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for each in found.values():
        for row in each["results"].values():
            cells = [each["title"], row["title"], f"{row['psnr']:.2f}", f"{row['fid_lite0']:.2f}"]
            cells += [f"{1000 * row['kid_lite0']:.2f}", f"{row['seconds']:.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return done.stdout.strip() or "unknown"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), metavar="NAME")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--steps", type=int, help="steps of each way on; the recipe's when left out")
    parser.add_argument("--images", type=int, default=500, help="most held-out images to measure on")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder for Fashion-MNIST")
    parser.add_argument(
        "--base", type=Path, help="folder for the tokenizers to go on from; those in it are not trained"
    )
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], help="whichever is faster when left out")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "adversarial", help="folder for logs and pictures")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    if arguments.precision is None:
        from vqgen.training.precision import fastest_precision

        arguments.precision = fastest_precision()
    if arguments.quick:
        arguments.images = 8
    start = time.perf_counter()
    found = {name: run(name, arguments, arguments.out) for name in arguments.only}
    held_out = ", ".join(f"{each['title']} {each['held_out']}" for each in found.values())
    steps = ", ".join(f"{each['title']} {each['base_steps']} + {each['steps']}" for each in found.values())
    note = (
        f"Steps before and after: {steps}. Held-out images: {held_out}. One seed, {arguments.precision}, "
        f"commit {commit()}, torch {torch.__version__}, {torch.get_num_threads()} threads ({platform.machine()}), "
        f"{(time.perf_counter() - start) / 60:.0f} minutes in all."
    )
    print(f"\n{table(found)}\n\n{note}\n\nPictures and logs are in {arguments.out}/")
    whole = arguments.only == list(RECIPES) and arguments.ways == list(WAYS) and arguments.steps is None
    if arguments.quick or not whole:
        return
    for name in found:
        (ROOT / "docs" / "images" / f"adversarial-{name}.png").write_bytes((arguments.out / f"{name}.png").read_bytes())
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    report = {"commit": commit(), "machine": machine, "precision": arguments.precision, "found": found}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table(found)}\n\n{note}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
