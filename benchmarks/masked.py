"""Few steps, two ways: a masked prior that keeps what it is most certain of, or groups of one that takes any order.

    python benchmarks/masked.py --prepare                 # codes of Fashion-MNIST into --folder, minutes on 2 cores
    python benchmarks/masked.py --device cuda --jobs 5    # trains and draws, minutes on a GPU, into --folder/draws.npz
    python benchmarks/masked.py --report                  # FID and KID of the draws, and the table into the README
    python benchmarks/masked.py --quick                   # all three at toy size on made images; writes nothing

Only --folder/codes.npz is needed where the priors are trained, and only draws.npz comes back. Priors of 4 layers of 128
learn 16 x 16 codes (n = 256, 512 of them) in the same batches: one that takes any order, and masked ones that hide by
each of the schedules; all for equally many steps, the masked ones also for as many as fit into the time of the first.
Each then draws in 8, 16, 32 and 64 steps, spread by the cosine schedule: the first in groups of the halton order, of a
random order for each image and of the most certain cells, the masked ones by `sample_masked`, in 16 steps at other
choice temperatures too. Measured: nats per code of held-out images (the masked priors' are bounds), FID and KID between
samples and held-out images in EfficientNet-lite0's features (extra `lite0`), and the time an image takes without its
decoder, after a first call.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prior_training import nats_per_code, training_steps
from recording import ROOT, conditions, write_region
from torch import Tensor

from vqgen.orders import RandomPerSample, scan_order
from vqgen.prior import MASKINGS, MaskedPrior, Prior
from vqgen.sampling import group_sizes, sample_by_confidence, sample_groups, sample_masked

RESULTS = ROOT / "benchmarks" / "results" / "masked.json"
README = ROOT / "vqgen" / "sampling" / "README.md"
ANY_ORDER = "any order"
MASKED = tuple(f"masked, {masking}" for masking in MASKINGS)
SYSTEMS = (ANY_ORDER, *MASKED)
GROUPS = ("halton", "random", "most-certain")
STEPS = (8, 16, 32, 64)
HEAT, HEATS, HEATS_AT = 4.5, (0.0, 1.0, 2.0, 9.0, 18.0), 16
System = Prior | MaskedPrior


@dataclass(frozen=True)
class Draw:
    """One way to draw from one prior."""

    system: str
    budget: str
    decoding: str
    steps: int
    heat: float | None = None

    @property
    def name(self) -> str:
        return "|".join(str(part) for part in (self.system, self.budget, self.decoding, self.steps, self.heat))


def prepare(options: argparse.Namespace) -> None:
    """Write the codes of training and held-out images, and the tokenizer beside them."""
    codes = code_set_of(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "training": codes.training.numpy().astype(np.uint16),
        "held_out": codes.held_out.numpy().astype(np.uint16),
    }
    np.savez_compressed(options.folder / "codes.npz", **arrays)


def code_set_of(options: argparse.Namespace) -> Any:
    from code_sets import code_set  # draws images, which the other parts do without

    return code_set(
        "fashion-mnist",
        folder=options.codes,
        data=options.data,
        held_out=options.samples,
        quick=options.quick,
        grid=16,
    )


def read_codes(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """(training, held out) on the device."""
    with np.load(options.folder / "codes.npz") as arrays:
        training, held_out = (torch.from_numpy(arrays[name].astype(np.int64)) for name in ("training", "held_out"))
    return training.to(options.device), held_out.to(options.device)


def make(system: str, codes: Tensor, options: argparse.Namespace) -> System:
    torch.manual_seed(0)
    dim, depth, heads = (16, 1, 2) if options.quick else (128, 4, 4)
    size: dict[str, Any] = {
        "height": codes.shape[1],
        "width": codes.shape[2],
        "dim": dim,
        "depth": depth,
        "heads": heads,
    }
    number = 16 if options.quick else 512
    if system == ANY_ORDER:
        return Prior(number, **size).to(options.device)
    return MaskedPrior(number, **size, masking=system.removeprefix("masked, ")).to(options.device)


def steps_of(system: System, codes: Tensor, steps: int, options: argparse.Namespace) -> Iterator[float]:
    policy = RandomPerSample(codes.shape[1], codes.shape[2])
    return training_steps(system, codes, policy, steps=steps, batch_size=options.batch_size, seed=0)  # type: ignore[arg-type]


def now(device: str) -> float:
    """Seconds, when what was asked of the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_a_step(system: str, codes: Tensor, options: argparse.Namespace) -> float:
    """By itself, over some dozens of steps after as many."""
    turns = 1 if options.quick else 30
    loop = steps_of(make(system, codes, options), codes, 3 * turns, options)
    for _ in range(turns):
        next(loop)
    start = now(options.device)
    for _ in range(turns):
        next(loop)
    return (now(options.device) - start) / turns


def trained(run: tuple[str, int, argparse.Namespace]) -> float:
    """Train one system for so many steps, or take what an earlier call left; gives nats per code."""
    system, steps, options = run
    torch.set_float32_matmul_precision("high")
    training, held_out = read_codes(options)
    place = place_of(system, steps, options)
    if not place.exists():
        prior = make(system, training, options)
        for _ in steps_of(prior, training, steps, options):
            pass
        prior.save_pretrained(place)
    prior = (Prior if system == ANY_ORDER else MaskedPrior).from_pretrained(place).to(options.device)
    torch.manual_seed(0)  # of what is hidden
    policy = RandomPerSample(training.shape[1], training.shape[2])
    parts = 1 if options.quick else 5  # what is hidden varies, and the mean over more of it less
    nats = [nats_per_code(prior, held_out, policy) for _ in range(parts)]  # type: ignore[arg-type]
    print(f"{system}, {steps} steps: {sum(nats) / parts:.4f} nats/code", flush=True)
    return sum(nats) / parts


def place_of(system: str, steps: int, options: argparse.Namespace) -> Path:
    return Path(options.folder) / f"{system.replace(', ', '-').replace(' ', '-')}-{steps}-{options.batch_size}"


def drawn(prior: System, draw: Draw, options: argparse.Namespace) -> tuple[Tensor, float]:
    """(samples, h, w) codes, and seconds an image, of which a first call is left out."""
    cells, seconds = prior.height * prior.width, 0.0
    codes: list[Tensor] = []
    policy = RandomPerSample(prior.height, prior.width)
    everywhere = (
        policy.positions(options.samples, torch.Generator().manual_seed(1))
        if draw.decoding == "random"
        else scan_order("halton", height=prior.height, width=prior.width).positions.expand(options.samples, -1)
    ).to(options.device)
    groups = group_sizes(cells, draw.steps)
    firsts = list(range(0, options.samples, options.draw_batch))
    for first in [0, *firsts]:  # the first call again, as it is slower for what it sets up
        last = min(first + options.draw_batch, options.samples)
        arguments: dict[str, Any] = {"batch_size": last - first, "first_index": first}
        start = now(options.device)
        if isinstance(prior, MaskedPrior):
            assert draw.heat is not None
            found = sample_masked(prior, steps=draw.steps, choice_temperature=draw.heat, **arguments)
        elif draw.decoding == "most-certain":
            found = sample_by_confidence(prior, groups=groups, **arguments).codes(
                height=prior.height, width=prior.width
            )
        else:
            positions = everywhere[first:last]
            sequence = sample_groups(prior, positions, groups=groups, **arguments)
            found = torch.empty_like(sequence).scatter_(1, positions, sequence).view(-1, prior.height, prior.width)
        seconds = seconds + now(options.device) - start if codes else 0.0
        codes.append(found.cpu())
    return torch.cat(codes[1:]), seconds / options.samples


def draws_of(system: str, budget: str, cells: int) -> list[Draw]:
    steps = [count for count in STEPS if count <= cells]
    if system == ANY_ORDER:
        return [Draw(system, budget, order, count) for order in GROUPS for count in steps]
    plain = [Draw(system, budget, "masked", count, HEAT) for count in steps]
    return plain + [Draw(system, budget, "masked", HEATS_AT, heat) for heat in HEATS if cells >= HEATS_AT]


def run(options: argparse.Namespace) -> None:
    """Train, score and draw; everything that the report needs goes into one file."""
    torch.set_float32_matmul_precision("high")
    training, _ = read_codes(options)
    seconds = {system: seconds_a_step(system, training, options) for system in SYSTEMS}
    lengths = {(system, "steps"): options.steps for system in SYSTEMS}
    for system in MASKED:
        fitting = round(options.steps * seconds[ANY_ORDER] / seconds[system])
        lengths[system, "time"] = options.steps if abs(fitting / options.steps - 1) < 0.05 else fitting
    runs = sorted({(system, length) for (system, _), length in lengths.items()}, key=lambda run: -run[1])
    asked = [(system, length, options) for system, length in runs]
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
            nats = dict(zip(runs, pool.map(trained, asked), strict=True))
    else:
        nats = dict(zip(runs, map(trained, asked), strict=True))
    rows, arrays = [], {}
    for (system, budget), length in lengths.items():
        if budget == "time" and length == options.steps:
            continue
        kind = Prior if system == ANY_ORDER else MaskedPrior
        prior = kind.from_pretrained(place_of(system, length, options)).to(options.device)
        for draw in draws_of(system, budget, prior.height * prior.width):
            codes, each = drawn(prior, draw, options)
            arrays[draw.name] = codes.numpy().astype(np.uint16)
            rows.append({**vars(draw), "name": draw.name, "ms_per_image": 1e3 * each})
            print(rows[-1], flush=True)
    trainings = [
        {
            "system": system,
            "budget": budget,
            "steps": length,
            "nats_per_code": nats[system, length],
            "ms_per_step": 1e3 * seconds[system],
        }
        for (system, budget), length in lengths.items()
    ]
    note = (
        f"4 layers of 128, trained {options.steps} steps of {options.batch_size} images or equally long; "
        f"{options.samples} samples in batches of {options.draw_batch}, no filters; {conditions(options.device)}"
    )
    about = json.dumps({"conditions": note, "trainings": trainings, "draws": rows})
    options.draws.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.draws, about=np.array(about), **arrays)  # type: ignore[arg-type]


def report(options: argparse.Namespace) -> None:
    """Decode what was drawn, compare it with held-out images, and write tables."""
    from quantizers import features_of

    codes = code_set_of(options)
    features = None if options.quick else features_of(codes.images)
    with np.load(options.draws) as arrays:
        about = json.loads(str(arrays["about"]))
        for row in about["draws"]:
            grids = torch.from_numpy(arrays[row["name"]].astype(np.int64))
            with torch.no_grad():
                images = torch.cat([codes.tokenizer.decode(part) for part in torch.split(grids, 100)])
            row |= {"fid_lite0": None, "kid_lite0": None} if features is None else features.distance(images)
            print(row, flush=True)
    if features is not None:
        with torch.no_grad():
            decoded = torch.cat([codes.tokenizer.decode(part) for part in torch.split(codes.held_out, 100)])
        about["reconstructions"] = features.distance(decoded)
    text = tables(about)
    print(f"\n{text}")
    if not options.quick:
        RESULTS.write_text(json.dumps(about, indent=2) + "\n")
        write_region(README, "masked", text)


def tables(about: dict[str, Any]) -> str:
    lines = ["| prior | training steps | ms/step | nats/code |", "|---|---|---|---|"]
    seen = set()
    for row in about["trainings"]:
        if (row["system"], row["steps"]) in seen:
            continue
        seen.add((row["system"], row["steps"]))
        bound = "" if row["system"] == ANY_ORDER else "<= "
        lines.append(
            f"| {row['system']} | {row['steps']} | {row['ms_per_step']:.1f} | {bound}{row['nats_per_code']:.3f} |"
        )
    titles = "| prior | decoding | choice temperature | steps | FID-lite0 | KID-lite0 x 1000 | ms/image |"
    lines += ["", titles, "|---|---|---|---|---|---|---|"]
    for row in about["draws"]:
        prior = row["system"] + (", equal time" if row["budget"] == "time" else "")
        cells = [prior, row["decoding"], "" if row["heat"] is None else f"{row['heat']:g}", str(row["steps"])]
        cells += ["" if row["fid_lite0"] is None else f"{row['fid_lite0']:.1f}"]
        cells += ["" if row["kid_lite0"] is None else f"{1000 * row['kid_lite0']:.2f}", f"{row['ms_per_image']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    reached = about.get("reconstructions")
    best = "" if reached is None else f" Reconstructions of the held-out images: FID {reached['fid_lite0']:.1f}."
    return "\n".join([*lines, "", f"{about['conditions']}.{best}"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--prepare", action="store_true", help="only make the codes")
    parser.add_argument("--report", action="store_true", help="only compare what was drawn")
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--steps", type=int, default=4000, help="of training")
    parser.add_argument("--batch-size", type=int, default=32, help="in training")
    parser.add_argument("--samples", type=int, default=1000, help="images drawn, and held-out images at most")
    parser.add_argument("--draw-batch", type=int, default=250, help="drawn at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "masked", help="codes.npz, priors, draws.npz")
    parser.add_argument("--draws", type=Path, help="where the draws go, --folder/draws.npz unless given")
    parser.add_argument("--codes", type=Path, default=ROOT / "runs" / "signals", help="tokenizer and codes")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where Fashion-MNIST is unpacked")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.samples, options.batch_size, options.draw_batch = 2, 6, 4, 3
    return options


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as temporary:
        if options.quick:
            options.folder, options.draws = Path(temporary), None
        options.draws = options.draws or options.folder / "draws.npz"
        if options.prepare or options.quick:
            prepare(options)
        if not options.prepare and not options.report:
            run(options)
        if options.report or options.quick:
            report(options)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
