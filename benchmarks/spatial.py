"""What a grid as the condition is worth: emoji coloured from grey and sharpened from coarse ones, and in which way.

    python benchmarks/spatial.py --prepare runs/openmoji/tokenizer   # codes and conditions into --folder, under 12 MB
    python benchmarks/spatial.py --device cuda --jobs 8              # trains and measures: minutes on a GPU
    python benchmarks/spatial.py --report runs/spatial/out           # table and pictures into the README
    python benchmarks/spatial.py --quick                             # toy size on made images; writes nothing

Priors as large as configs/prior/openmoji_colour.yaml learn the 8 x 8 codes of OpenMoji: told nothing, or the codes of
the same image in grey (`grey`) or at a quarter of its resolution (`low-resolution:4`), aligned by cell, so with a
convolutional context, or as a prefix. Measured on held-out emoji: nats per code with the condition and, of the same
prior, without it; PSNR of samples at temperature 1 (of their grey too: is it still the same drawing?) and of the
likeliest code at every step, beside what the tokenizer's reconstruction and the condition's own picture have. The
pictures show the first held-out emoji, not the best.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from code_sets import small_tokenizer
from prior_training import nats_per_code, training_steps
from recording import ROOT, conditions, write_region
from torch import Tensor

from vqgen import Tokenizer
from vqgen.conditioning import (
    AlignedGridConditioner,
    Conditioner,
    ConvolutionalContext,
    GridOfImages,
    PrefixGridConditioner,
    SpatialConditioner,
    image_transform,
)
from vqgen.data import ImageSource, OpenMoji, SyntheticImages, to_bytes, to_unit_range
from vqgen.data.tokenize import ImageEncoder, ImageViews
from vqgen.orders import order_policy
from vqgen.pictures import labelled_rows, save_picture
from vqgen.prior import Prior
from vqgen.sampling import sample_autoregressive

README = ROOT / "vqgen" / "conditioning" / "README.md"
TASKS = {"grey": "colourisation", "low-resolution:4": "super-resolution"}
CONTESTANTS = ("nothing", "aligned", "aligned, context", "prefix")
ORDERS = ("raster", "random-per-sample")
PICTURED = ("aligned, context", "raster", 0)
VIEWS, SHOWN, DRAWN = 4, 12, 3


@dataclass(frozen=True)
class Run:
    """One training: what is told, how, in which order."""

    task: str
    contestant: str
    order: str
    seed: int

    @property
    def name(self) -> str:
        return (
            "-".join(map(str, (self.task, self.contestant, self.order, self.seed))).replace(":", "").replace(", ", "-")
        )


@dataclass(frozen=True)
class Pairs:
    """Codes beside conditions: of training images in several views, of held-out images as they are."""

    tokenizer: Tokenizer
    training: Tensor
    training_conditions: Tensor
    held_out: Tensor
    held_out_conditions: Tensor
    images: Tensor


def prepare(tokenizer: Tokenizer, source: ImageSource, folder: Path, views: int) -> None:
    """Write the tokenizer and `pairs.npz`: codes of all images, of their conditions, and the held-out images."""
    tokenizer.eval()
    encoders: dict[str, ImageEncoder] = {
        "codes": tokenizer,
        **{task: GridOfImages(tokenizer, task).eval() for task in TASKS},
    }
    training, held_out = source.split("train"), source.split("validation")
    versions = ImageViews(training, flip=True, shift=4, seed=0)
    total = views * len(training)
    images = held_out.batch(range(len(held_out))).images
    arrays = {"images": to_bytes(images).numpy()}
    with torch.inference_mode():
        for name, encoder in encoders.items():
            numbers = [range(first, min(first + 64, total)) for first in range(0, total, 64)]
            codes = torch.cat([encoder.encode(versions.batch(part)) for part in numbers])
            arrays[f"{name}/training"] = codes.numpy().astype(np.uint16)
            arrays[f"{name}/held_out"] = encoder.encode(images).numpy().astype(np.uint16)
    tokenizer.save_pretrained(folder / "tokenizer")
    np.savez_compressed(folder / "pairs.npz", **arrays)  # type: ignore[arg-type]


def pairs_of(folder: Path, task: str, device: str) -> Pairs:
    """What `prepare` wrote, of one task."""
    with np.load(folder / "pairs.npz") as arrays:
        of = {name: torch.from_numpy(arrays[name].astype(np.int64)).to(device) for name in arrays if name != "images"}
        images = to_unit_range(torch.from_numpy(arrays["images"]))
    return Pairs(
        Tokenizer.from_pretrained(folder / "tokenizer").to(device),
        of["codes/training"],
        of[f"{task}/training"],
        of["codes/held_out"],
        of[f"{task}/held_out"],
        images,
    )


def conditioner_of(contestant: str, codes: int, dim: int) -> Conditioner | None:
    """How the prior is told."""
    if contestant == "nothing":
        return None
    if contestant == "prefix":
        return PrefixGridConditioner(codes, 8, 8, dim=dim)
    context = ConvolutionalContext(dim) if contestant == "aligned, context" else None
    return AlignedGridConditioner(codes, 8, 8, dim=dim, context=context)


def trained_prior(run: Run, pairs: Pairs, options: argparse.Namespace) -> Prior:
    size: dict[str, Any] = {"dim": 128, "depth": 6, "heads": 2, "dropout": 0.1}
    if options.quick:
        size = {"dim": 16, "depth": 1, "heads": 2}
    codes = pairs.tokenizer.codebook_size
    torch.manual_seed(run.seed)
    prior = Prior(codes, 8, 8, conditioner=conditioner_of(run.contestant, codes, size["dim"]), **size)
    prior.use_codebook(pairs.tokenizer.codebook().cpu())
    told = isinstance(prior.conditioner, SpatialConditioner)
    if isinstance(prior.conditioner, SpatialConditioner):
        prior.conditioner.use_codebook(pairs.tokenizer.codebook().cpu())
    prior.to(options.device)
    policy = order_policy(run.order, height=8, width=8)
    for _ in training_steps(
        prior,
        pairs.training,
        policy,
        steps=options.steps,
        batch_size=16,
        seed=run.seed,
        conditions=pairs.training_conditions if told else None,
    ):
        pass
    return prior.eval()


def draw(prior: Prior, run: Run, pairs: Pairs, *, first: int, count: int, temperature: float = 1.0) -> Tensor:
    """One sample for each held-out image, (b, c, H, W) in [-1, 1] on the CPU."""
    told = isinstance(prior.conditioner, SpatialConditioner)
    policy = order_policy(run.order, height=8, width=8)
    positions = policy.positions(count, torch.Generator().manual_seed(1 + first)).to(pairs.held_out.device)
    sequence = sample_autoregressive(
        prior,
        positions,
        pairs.held_out_conditions[:count] if told else None,
        batch_size=count,
        temperature=temperature,
        first_index=first,
    )
    codes = torch.empty_like(sequence).scatter_(1, positions, sequence).view(-1, 8, 8)
    return decoded(pairs.tokenizer, codes)


@torch.inference_mode()
def decoded(tokenizer: Tokenizer, codes: Tensor) -> Tensor:
    return torch.cat([tokenizer.decode(part).clamp(-1, 1).cpu() for part in torch.split(codes, 64)])


def decibels(images: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio, the mean over images."""
    errors = (images - truth).square().flatten(1).mean(1).clamp_min(1e-8)
    return float((10 * torch.log10(4.0 / errors)).mean())


def measure(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one; what an earlier call measured is kept."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    kept = options.folder / "measured" / f"{run.name}-{options.steps}.json"
    if kept.exists() and not options.quick:
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    pairs = pairs_of(options.folder, run.task, options.device)
    prior, policy = trained_prior(run, pairs, options), order_policy(run.order, height=8, width=8)
    told = isinstance(prior.conditioner, SpatialConditioner)
    grey, count = image_transform("grey"), len(pairs.images)
    samples = [draw(prior, run, pairs, first=index * count, count=count) for index in range(DRAWN)]
    found = {
        "task": run.task,
        "contestant": run.contestant,
        "order": run.order,
        "seed": run.seed,
        "nats": nats_per_code(prior, pairs.held_out, policy, pairs.held_out_conditions if told else None),
        "nats_without": nats_per_code(prior, pairs.held_out, policy),
        "psnr": statistics.mean(decibels(images, pairs.images) for images in samples),
        "psnr_likeliest": decibels(draw(prior, run, pairs, first=0, count=count, temperature=0.0), pairs.images),
        "psnr_grey": statistics.mean(decibels(grey(images), grey(pairs.images)) for images in samples),
        "parameters": sum(parameter.numel() for parameter in prior.parameters()),
    }
    print(found, flush=True)
    if (run.contestant, run.order, run.seed) == PICTURED:
        rows = [("given", image_transform(run.task)(pairs.images[:SHOWN]))]
        rows += [(f"drawn {index + 1}", images[:SHOWN]) for index, images in enumerate(samples)]
        rows += [("encoded", decoded(pairs.tokenizer, pairs.held_out[:SHOWN])), ("truth", pairs.images[:SHOWN])]
        caption = f"The first {SHOWN} held-out emoji. OpenMoji, CC BY-SA 4.0."
        save_picture(labelled_rows(rows, caption=caption), options.out / f"{TASKS[run.task]}.png", optimize=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found) + "\n")
    return found


def measured(runs: list[Run], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The measurements of all runs in turn, some of them made side by side."""
    if options.jobs == 1:
        yield from (measure(run, options) for run in runs)
        return
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(measure, runs, [options] * len(runs))


def references(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What to compare with: the tokenizer's reconstruction, and the picture that the condition shows."""
    found, grey = {}, image_transform("grey")
    for task in options.tasks:
        pairs = pairs_of(options.folder, task, options.device)
        shown = {
            "the tokenizer's reconstruction": decoded(pairs.tokenizer, pairs.held_out),
            "the condition's own picture": decoded(pairs.tokenizer, pairs.held_out_conditions),
        }
        for name, images in shown.items():
            values = {"psnr": decibels(images, pairs.images), "psnr_grey": decibels(grey(images), grey(pairs.images))}
            found[f"{task}/{name}"] = values
    return found


def table(results: dict[str, Any]) -> str:
    lines = [
        "| what | order | told | nats/code | without the condition | PSNR | PSNR, likeliest codes | PSNR of the grey |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, word in TASKS.items():
        for order in ORDERS:
            for contestant in CONTESTANTS:
                rows = [row for row in results["runs"] if (row["task"], row["order"]) == (task, order)]
                rows = [row for row in rows if row["contestant"] == contestant]
                if rows:
                    columns = [("nats", 3), ("nats_without", 3), ("psnr", 2), ("psnr_likeliest", 2), ("psnr_grey", 2)]
                    cells = [spread([row[name] for row in rows], digits) for name, digits in columns]
                    cells[1] = "" if contestant == "nothing" else cells[1]
                    lines.append(f"| {word} | {order} | {contestant} | {' | '.join(cells)} |")
        for name, row in results["references"].items():
            if name.startswith(task):
                shown = name.partition("/")[2]
                lines.append(f"| {word} | | *{shown}* | | | {row['psnr']:.2f} | | {row['psnr_grey']:.2f} |")
    return "\n".join(lines)


def report(out: Path) -> None:
    """Keep a run's figures among the results, its pictures among the documents, and show both in the README."""
    results = json.loads((out / "spatial.json").read_text())
    shutil.copy(out / "spatial.json", ROOT / "benchmarks" / "results" / "spatial.json")
    text = f"{table(results)}\n\n{results['conditions']}"
    for word in TASKS.values():
        if (out / f"{word}.png").exists():
            shutil.copy(out / f"{word}.png", ROOT / "docs" / "images" / f"{word}.png")
            text += f"\n\n![{word} of the first held-out emoji](../../docs/images/{word}.png)"
    contestant, order, seed = PICTURED
    if "![" in text:
        text += f"\n\nDrawn by *{contestant}* in {order} order, seed {seed}, at temperature 1: the first, not the best."
    write_region(README, "spatial", text)


def spread(values: list[float], digits: int) -> str:
    """The mean, and how far seeds lie apart."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--prepare", type=Path, metavar="TOKENIZER", help="encode OpenMoji with it, and stop")
    parser.add_argument("--report", type=Path, metavar="OUT", help="take over what a run wrote to --out, and stop")
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each of them")
    parser.add_argument("--steps", type=int, default=1500, help="of training, 16 images each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "spatial", help="tokenizer, pairs, measurements")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "spatial" / "out", help="spatial.json and pictures")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.report is not None:
        report(options.report)
        return
    if options.prepare is not None:
        prepare(Tokenizer.from_pretrained(options.prepare), OpenMoji(size=64), options.folder, VIEWS)
        return
    if options.quick:
        import tempfile

        options.steps, options.seeds = 2, [0]
        options.folder = options.out = Path(tempfile.mkdtemp())
        torch.manual_seed(0)
        prepare(small_tokenizer(3, patch=2, codes=16), SyntheticImages(32, 32, num_classes=0), options.folder, 2)
    # The prior that is told nothing is the same whatever the others are told.
    runs = [
        Run(task, contestant, order, seed)
        for seed in options.seeds
        for task in options.tasks
        for order in options.orders
        for contestant in options.contestants
        if contestant != "nothing" or task == options.tasks[0]
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    note = (
        f"6 layers of 128, {options.steps} steps of 16 images in {VIEWS} views, {len(options.seeds)} seeds (mean ± "
        f"standard deviation); {DRAWN} samples of each of the held-out emoji at temperature 1; PSNR in dB, mean of "
        f"images; {conditions(options.device)}."
    )
    results: dict[str, Any] = {"conditions": note, "references": references(options), "runs": []}
    for found in measured(runs, options):
        results["runs"].append(found)
        if not options.quick:  # after each, so that a call that is cut short leaves what it found
            (options.out / "spatial.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"\n{table(results)}\n\n{note}")


if __name__ == "__main__":
    main()
