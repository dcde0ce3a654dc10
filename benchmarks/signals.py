"""What the position signals are worth: the same small prior under every signal and order.

    python benchmarks/signals.py            # the table in vqgen/prior/README.md, about 40 minutes on 2 cores
    python benchmarks/signals.py --quick    # toy size on made images, to see that it runs; writes nothing
    python benchmarks/signals.py --datasets openmoji --seeds 0    # part of it, which a later call goes on from

A prior of 4 layers of 128 learns 8 x 8 codes (512 of them) of Fashion-MNIST and of OpenMoji for equally many steps, in
the same batches for a seed: in raster order, in Hilbert order, and in a random order for each image. Measured on
held-out images: nats per code in the orders trained in. Every run leaves a result in --folder, and a run that has one
is not repeated; delete the folder to measure anew. Steps per second are measured at the end, with the signals taking
turns, so that a change in the machine's speed meets them all.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from code_sets import DATA_SETS, CodeSet, code_set
from prior_training import make_prior, nats_per_code, training_steps
from recording import ROOT, conditions, write_region

from vqgen.orders import order_policy

RESULTS = ROOT / "benchmarks" / "results" / "signals.json"
README = ROOT / "vqgen" / "prior" / "README.md"
SIGNALS = ("step", "cell", "double", "target", "rotary", "target+rotary", "instruction")
ORDERS = ("raster", "hilbert", "random-per-sample")


def policy_of(order: str) -> Any:
    return order_policy(order, height=8, width=8)


def run(
    codes: CodeSet, dataset: str, order: str, signals: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """One training, or what an earlier one left."""
    settings = {"dataset": dataset, "order": order, "signals": signals, "seed": seed}
    settings |= {"steps": options.steps, "batch_size": options.batch_size, "tokenizer": codes.tokenizer.fingerprint()}
    place = options.folder / "runs" / f"{dataset}-{order}-{signals}-{options.steps}-{seed}.json"
    if place.exists() and not options.quick:
        found: dict[str, Any] = json.loads(place.read_text())
        if found["settings"] == settings:
            return found
    start = time.perf_counter()
    prior = make_prior(codes.tokenizer.codebook_size, tuple(signals.split("+")), quick=options.quick, seed=seed)
    steps = {"steps": options.steps, "batch_size": options.batch_size, "seed": seed}
    for _ in training_steps(prior, codes.training, policy_of(order), **steps):
        pass
    nats = nats_per_code(prior, codes.held_out, policy_of(order))
    found = {"settings": settings, "nats_per_code": nats, "seconds": time.perf_counter() - start}
    if not options.quick:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(found, indent=2) + "\n")
    return found


def steps_per_second(codes: CodeSet, options: argparse.Namespace) -> dict[str, float]:
    """Of every signal, under random orders, taking turns."""
    turns = 3 if options.quick else 25
    loops = {
        signals: training_steps(
            make_prior(codes.tokenizer.codebook_size, tuple(signals.split("+")), quick=options.quick, seed=0),
            codes.training,
            policy_of("random-per-sample"),
            steps=turns,
            batch_size=options.batch_size,
            seed=0,
        )
        for signals in options.signals
    }
    seconds: dict[str, list[float]] = {signals: [] for signals in loops}
    for _ in range(turns):
        for signals, loop in loops.items():
            seconds[signals].append(next(loop))
    return {signals: 1.0 / statistics.median(taken[1:]) for signals, taken in seconds.items()}


def table(results: list[dict[str, Any]], speed: dict[str, float], options: argparse.Namespace) -> str:
    columns = [(dataset, order) for dataset in options.datasets for order in options.orders]
    heads = [f"{DATA_SETS[dataset]}, {order}" for dataset, order in columns]
    lines = [f"| signal | {' | '.join(heads)} | steps/s |", "|---" * (len(columns) + 2) + "|"]
    for signals in options.signals:
        cells = []
        for dataset, order in columns:
            where = {"dataset": dataset, "order": order, "signals": signals}
            nats = [each["nats_per_code"] for each in results if where.items() <= each["settings"].items()]
            cells.append(f"{statistics.mean(nats):.3f} ± {(max(nats) - min(nats)) / 2:.3f}")
        lines.append(f"| `{signals}` | {' | '.join(cells)} | {speed[signals]:.1f} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--images", type=int, default=512, help="held-out images at most")
    parser.add_argument("--datasets", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--orders", nargs="+", default=list(ORDERS))
    parser.add_argument("--signals", nargs="+", default=list(SIGNALS), help="names, joined by +")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "signals", help="results, tokenizers, codes")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where Fashion-MNIST is unpacked")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.batch_size, options.images, options.seeds = 2, 4, 8, [0, 1]
    return options


def main() -> None:
    options = parse()
    results, speed = [], {}
    for dataset in options.datasets:
        codes = code_set(
            dataset, folder=options.folder, data=options.data, held_out=options.images, quick=options.quick
        )
        for seed in options.seeds:  # all of one seed first: a run that is cut short still compares like with like
            for order in options.orders:
                for signals in options.signals:
                    results.append(run(codes, dataset, order, signals, seed, options))
                    told = results[-1]
                    print(
                        f"{dataset:14s} {order:18s} {signals:14s} seed {seed}  {told['nats_per_code']:.4f} nats/code "
                        f"in {told['seconds']:.0f} s",
                        flush=True,
                    )
        speed = steps_per_second(codes, options)
    note = (
        f"4 layers of 128, {options.steps} steps of {options.batch_size} images, {len(options.seeds)} seeds, held-out "
        f"images at most {options.images}; {conditions()}."
    )
    print(f"\n{table(results, speed, options)}\n\n{note}")
    whole = (options.datasets, options.orders, options.signals) == (list(DATA_SETS), list(ORDERS), list(SIGNALS))
    if options.quick or not whole:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    measured = {"conditions": conditions(), "steps_per_second": speed, "results": results}
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n")
    write_region(README, "signals", f"{table(results, speed, options)}\n\n{note}")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
