"""Which attention pays: every system of configs/prior/attention on the same codes, at equal steps and at equal time.

    python benchmarks/attention_family.py                          # on the CPU: an hour or more on 2 cores
    python benchmarks/attention_family.py --device cuda --jobs 8   # minutes on a GPU; the folder is all it needs
    python benchmarks/attention_family.py --device cuda --report   # the table alone, of what the folder holds
    python benchmarks/attention_family.py --quick                  # toy size on made images; writes nothing

Each config's prior, at one width and depth, learns 16 x 16 codes (n = 256, 512 of them) of Fashion-MNIST in raster
order, in the same batches for a seed: for equally many steps, and for as many as fit into the time that dense attention
takes for those. Measured: nats per code of held-out images (for the masked prior the bound that its `nll` gives),
tokens per second in training, milliseconds per drawn token, and the peak memory of a training step on a GPU. Speeds are
measured first, one system at a time with nothing beside it; trainings then run in --jobs processes. Every measurement
leaves a result in --folder and is not repeated; a training that fails is told and the others go on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from code_sets import code_set
from prior_training import LEARNING_RATE
from recording import ROOT, conditions, write_region
from torch import Tensor

from vqgen.checkpoint import build
from vqgen.orders import scan_order
from vqgen.prior import MaskedPrior, Prior
from vqgen.sampling import sample_autoregressive, sample_masked
from vqgen.training import Optimization
from vqgen.training.muon import MuonAdamW

CONFIGS = ROOT / "configs" / "prior" / "attention"
README = ROOT / "vqgen" / "attention" / "README.md"
BASELINE = "dense"
MASKED_STEPS = 16
"""Passes in which the masked prior draws an image."""

System = Prior | MaskedPrior


def held_codes(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """(training, held out) codes, (b, 16, 16) int64 each, from the folder alone once they are there."""
    place = options.folder / "fashion-mnist-16"
    if options.quick or not (place / "held-out.npy").exists():
        codes = code_set(
            "fashion-mnist", folder=options.folder, data=options.data, held_out=1000, quick=options.quick, grid=16
        )
        if options.quick:
            return codes.training, codes.held_out
        np.save(place / "held-out.npy", codes.held_out.numpy().astype(np.int16))
    return tuple(torch.from_numpy(np.load(place / f"{name}.npy")).long() for name in ("codes", "held-out"))  # type: ignore[return-value]


def make(system: str, codebook_size: int, side: int, seed: int, options: argparse.Namespace) -> System:
    """The prior of a config at the size of this comparison."""
    described = yaml.safe_load((CONFIGS / f"{system}.yaml").read_text())["model"]["init_args"]["prior"]
    arguments = described["init_args"] | {"dim": options.dim, "depth": options.depth, "heads": options.heads}
    arguments |= {"codebook_size": codebook_size, "height": side, "width": side, "dropout": 0.0}
    torch.manual_seed(seed)
    prior = build({"class_path": described["class_path"], "init_args": whole(arguments)})
    assert isinstance(prior, (Prior, MaskedPrior))
    return prior.to(options.device)


def whole(value: Any) -> Any:
    """A configuration with the ``init_args`` that it leaves out where there are none."""
    if isinstance(value, list):
        return [whole(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {name: whole(item) for name, item in value.items()}
    return value | {"init_args": value.get("init_args", {})} if "class_path" in value else value


def steps_of_training(
    prior: System, codes: Tensor, *, steps: int, seed: int, batch_size: int, device: str
) -> Iterator[None]:
    """Train one step at a time; yields after each."""
    groups = Optimization(LEARNING_RATE, "muon").parameter_groups(prior, [prior.head])
    optimizer = MuonAdamW(groups, lr=LEARNING_RATE, newton_schulz_steps=3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 50, 1.0) * max(1.0 - step / steps, 0.02)
    )
    generator, codes = torch.Generator().manual_seed(seed), codes.to(device)
    positions = scan_order("raster", height=codes.shape[1], width=codes.shape[2]).positions.to(device)
    prior.train()
    for _ in range(steps):
        batch = codes[torch.randint(len(codes), (batch_size,), generator=generator).to(device)]
        prior.nll(batch, positions.expand(batch_size, -1)).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        yield
    prior.eval()


@torch.no_grad()
def nats_per_code(prior: System, codes: Tensor, device: str) -> float:
    prior.eval()
    torch.manual_seed(0)  # of what a masked prior hides
    positions = scan_order("raster", height=codes.shape[1], width=codes.shape[2]).positions.to(device)
    parts = torch.split(codes.to(device), 50)
    return sum(float(prior.nll(part, positions.expand(len(part), -1)).mean()) * len(part) for part in parts) / len(
        codes
    )


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def speed_of(system: str, training: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a training step, milliseconds a drawn token at batch 1 and 8, peak megabytes of a step on a GPU."""
    side, size = training.shape[-1], int(training.max()) + 1
    prior = make(system, size, side, 0, options)
    warm, counted = (1, 2) if options.quick else (10, 30)
    seconds = []
    start = time.perf_counter()
    batches = {"batch_size": options.batch_size, "device": options.device}
    for step, _ in enumerate(steps_of_training(prior, training, steps=warm + counted, seed=0, **batches)):
        synchronize(options.device)
        seconds.append(time.perf_counter() - start)
        if step == warm and options.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
    peak = None if options.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
    found = {"system": system, "step_seconds": statistics.median(seconds[warm:]), "peak_megabytes": peak}
    positions = torch.arange(side * side, device=options.device)
    for images in (1, 8):
        times = []
        for _ in range(2):  # the first warms up
            start = time.perf_counter()
            if isinstance(prior, MaskedPrior):
                sample_masked(prior, batch_size=images, steps=min(MASKED_STEPS, side * side))
            else:
                sample_autoregressive(prior, positions, batch_size=images)
            synchronize(options.device)
            times.append(1e3 * (time.perf_counter() - start) / (images * side * side))
        found[f"ms_per_token_{images}"] = times[-1]
    return found


def speeds_of(training: Tensor, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What `speed_of` says of every system, or said before; with the conditions it was measured under."""
    place = options.folder / "family" / f"speeds-{options.device}-{options.dim}x{options.depth}.json"
    speeds = json.loads(place.read_text()) if place.exists() and not options.quick else {}
    for system in options.systems:
        if system in speeds or options.report:
            continue
        with reporting(system):
            speeds[system] = speed_of(system, training, options) | {"conditions": conditions(options.device)}
            print(speeds[system], flush=True)
        if not options.quick:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(speeds, indent=2) + "\n")
    return {system: speeds[system] for system in options.systems if system in speeds}


def train(
    system: str, seed: int, steps: int, codes: tuple[Tensor, Tensor], options: argparse.Namespace
) -> float | None:
    """Nats per code after a training, or what an earlier one left; None for one that failed or is not to be done."""
    place = options.folder / "family" / f"{system}-{options.dim}x{options.depth}-{steps}-{seed}.json"
    if place.exists() and not options.quick:
        return float(json.loads(place.read_text())["nats_per_code"])
    if options.report:
        return None
    training, held_out = codes
    prior = make(system, int(training.max()) + 1, training.shape[-1], seed, options)
    settings = {"batch_size": options.batch_size, "device": options.device}
    for _ in steps_of_training(prior, training, steps=steps, seed=seed, **settings):
        pass
    nats = nats_per_code(prior, held_out, options.device)
    print(f"{system}, seed {seed}, {steps} steps: {nats:.4f} nats/code", flush=True)
    if not options.quick:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"nats_per_code": nats}) + "\n")
    return nats


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| system | NLL, equal steps | NLL, equal time | steps in that time | tokens/s in training | "
        "ms per drawn token, batch 1 | batch 8 | MB of a training step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    most = max(len(row["nats_equal_steps"]) for row in rows)
    for row in rows:

        def interval(nats: list[float]) -> str:
            if not nats:
                return "not measured"
            seeds = "" if len(nats) == most else f" ({len(nats)} of {most} seeds)"
            spread = f" ± {(max(nats) - min(nats)) / 2:.3f}" if len(nats) > 1 else ""
            return f"{statistics.mean(nats):.3f}{spread}{seeds}"

        cells = [f"[{row['system']}](../../configs/prior/attention/{row['system']}.yaml)"]
        cells += [interval(row["nats_equal_steps"]), interval(row["nats_equal_time"]), str(row["steps_equal_time"])]
        cells += [f"{row['tokens_per_second']:,.0f}", f"{row['ms_per_token_1']:.3f}", f"{row['ms_per_token_8']:.3f}"]
        cells += ["" if row["peak_megabytes"] is None else f"{row['peak_megabytes']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    systems = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument("--systems", nargs="+", choices=systems, default=systems, help="dense is always among them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "signals", help="tokenizer, codes, results")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where Fashion-MNIST is unpacked")
    parser.add_argument("--report", action="store_true", help="measure nothing, tell what --folder holds")
    parser.add_argument("--runs", nargs="+", help=argparse.SUPPRESS)  # SYSTEM:SEED:STEPS of a worker process
    options = parser.parse_args()
    if options.quick:
        options.dim, options.depth, options.heads, options.steps, options.batch_size = 16, 2, 2, 2, 4
        options.seeds = options.seeds[:1]
    options.systems = [BASELINE, *(system for system in options.systems if system != BASELINE)]
    return options


def work(runs: list[str], codes: tuple[Tensor, Tensor], options: argparse.Namespace) -> None:
    for system, seed, steps in (run.split(":") for run in runs):
        with reporting(f"{system}, seed {seed}, {steps} steps"):
            train(system, int(seed), int(steps), codes, options)


@contextmanager
def reporting(what: str) -> Iterator[None]:
    """Tell that something failed, and go on."""
    try:
        yield
    except Exception:
        print(f"{what} failed:", flush=True)
        traceback.print_exc()


def share_out(runs: list[str], options: argparse.Namespace) -> None:
    """Every run in one of --jobs processes, each of which takes every so many-th."""
    workers = [
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--runs", *runs[job :: options.jobs]])
        for job in range(min(options.jobs, len(runs)))
    ]
    for worker in workers:
        worker.wait()


def main() -> None:
    options = parse()
    codes = held_codes(options)
    if options.runs:
        work(options.runs, codes, options)
        return
    speeds = speeds_of(codes[0], options)
    base = speeds[BASELINE]["step_seconds"]
    in_time = {name: max(1, round(options.steps * base / found["step_seconds"])) for name, found in speeds.items()}
    runs = [
        f"{system}:{seed}:{steps}"
        for system in speeds
        for seed in options.seeds
        for steps in dict.fromkeys((options.steps, in_time[system]))
    ]
    if options.jobs > 1 and not options.quick and not options.report:
        share_out(runs, options)
        options.report = True  # what is missing now has failed
    rows = []
    for system, found in speeds.items():
        tokens = options.batch_size * codes[0][0].numel() / found["step_seconds"]
        nats = {
            name: [nats for seed in options.seeds if (nats := train(system, seed, steps, codes, options)) is not None]
            for name, steps in (("nats_equal_steps", options.steps), ("nats_equal_time", in_time[system]))
        }
        rows.append({**found, **nats, "steps_equal_time": in_time[system], "tokens_per_second": tokens})
    note = (
        f"{options.depth} layers of {options.dim}, {options.steps} steps of {options.batch_size} images (dense), "
        f"raster order, {len(options.seeds)} seeds (± half their range), 16 x 16 codes of Fashion-MNIST; the masked "
        f"prior's NLL is a bound, and it draws in {MASKED_STEPS} passes; {speeds[BASELINE]['conditions']}."
    )
    print(f"\n{table(rows)}\n\n{note}")
    if options.quick or len(options.systems) < len(list(CONFIGS.glob("*.yaml"))):
        return
    name = "family" if options.device == "cpu" else f"family-{options.device.partition(':')[0]}"
    results = ROOT / "benchmarks" / "results" / f"{name}.json"
    results.write_text(json.dumps({"conditions": note, "results": rows}, indent=2) + "\n")
    write_region(README, name, f"{table(rows)}\n\n{note}")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
