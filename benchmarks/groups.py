"""What drawing in fewer steps costs: quality and time of group decoding on Fashion-MNIST.

    python benchmarks/groups.py            # the table in README.md, about 20 minutes on 2 cores
    python benchmarks/groups.py --quick    # toy size on made images, to see that it runs; writes nothing

A prior of 4 layers of 128 learns 8 x 8 codes in a random order for each image. It then draws in n = 64 steps and in
n / 2, n / 4 and n / 8 of them (cosine schedule): in a random order for each image, in the halton order, in raster
order, and most certain cells first. Measured: nats per code of held-out codes under the distribution that these groups
draw from (exact; for orders that do not depend on the codes), FID and KID between samples and held-out images in
EfficientNet-lite0's features (extra `lite0`), and the time an image takes without its decoder.
"""

import argparse
import json
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from code_sets import CodeSet, code_set
from prior_training import make_prior, nats_per_code, training_steps
from quantizers import Features, features_of
from recording import ROOT, conditions, write_region
from torch import Tensor
from torch.nn import functional as F

from vqgen.orders import order_policy, scan_order
from vqgen.prior import Prior
from vqgen.sampling import CONFIDENCE_ORDERS, group_sizes, sample_by_confidence, sample_groups

RESULTS = ROOT / "benchmarks" / "results" / "groups.json"
README = ROOT / "benchmarks" / "README.md"
ORDERS = ("random-per-sample", "halton", "raster", "most-certain")
SHARES = (1, 2, 4, 8)


def positions_in(order: str, count: int) -> Tensor:
    """(count, n): an order for each image, the same at every call."""
    if order == "random-per-sample":
        return order_policy(order, height=8, width=8).positions(count, torch.Generator().manual_seed(1))
    return scan_order(order, height=8, width=8).positions.expand(count, -1)


@torch.no_grad()
def nats_in_groups(prior: Prior, codes: Tensor, positions: Tensor, groups: tuple[int, ...]) -> float:
    """Nats per code when the codes of a group are predicted from the groups before it alone."""
    sequence, nats = codes.flatten(1).gather(1, positions), 0.0
    cache, previous = prior.new_cache(len(codes)), sequence[:, :0]
    for start, size in zip(accumulate(groups, initial=0), groups, strict=False):
        cells, truth = positions[:, start : start + size], sequence[:, start : start + size]
        logits = prior.advance(previous, positions, cache, cells=cells)
        nats += float(F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="sum"))
        previous = truth
    return nats / codes.numel()


def draw(prior: Prior, order: str, groups: tuple[int, ...], options: argparse.Namespace) -> tuple[Tensor, float]:
    """Code grids, and seconds per image."""
    codes, seconds = [], 0.0
    everywhere = None if order in CONFIDENCE_ORDERS else positions_in(order, options.samples)
    for first in range(0, options.samples, options.batch_size):
        last = min(first + options.batch_size, options.samples)
        arguments: dict[str, Any] = {"groups": groups, "batch_size": last - first, "first_index": first}
        start = time.perf_counter()
        if everywhere is None:
            codes.append(sample_by_confidence(prior, order=order, **arguments).codes(height=8, width=8))
        else:
            positions = everywhere[first:last]
            sequence = sample_groups(prior, positions, **arguments)
            codes.append(torch.empty_like(sequence).scatter_(1, positions, sequence).view(-1, 8, 8))
        seconds += time.perf_counter() - start
    return torch.cat(codes), seconds / options.samples


def measure(
    codes: CodeSet, prior: Prior, order: str, share: int, features: Features | None, options: argparse.Namespace
) -> dict[str, Any]:
    groups = group_sizes(64, 64 // share)
    drawn, seconds = draw(prior, order, groups, options)
    with torch.no_grad():
        images = torch.cat([codes.tokenizer.decode(part) for part in torch.split(drawn, 100)])
    nats = None
    if order not in CONFIDENCE_ORDERS:
        nats = nats_in_groups(prior, codes.held_out, positions_in(order, len(codes.held_out)), groups)
    found = {"fid_lite0": None, "kid_lite0": None} if features is None else features.distance(images)
    return {"order": order, "steps": len(groups), "nats_per_code": nats, "ms_per_image": 1e3 * seconds, **found}


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| order | steps | nats/code | FID-lite0 | KID-lite0 x 1000 | ms/image |", "|---|---|---|---|---|---|"]
    for row in results:
        cells = [row["order"], str(row["steps"])]
        cells += ["" if row["nats_per_code"] is None else f"{row['nats_per_code']:.3f}"]
        cells += ["" if row["fid_lite0"] is None else f"{row['fid_lite0']:.1f}"]
        cells += ["" if row["kid_lite0"] is None else f"{1000 * row['kid_lite0']:.2f}", f"{row['ms_per_image']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def trained_prior(codes: CodeSet, options: argparse.Namespace) -> Prior:
    """Trained in random orders, or what an earlier call left in the folder."""
    place = options.folder / f"any-order-{options.steps}-steps"
    if place.exists() and not options.quick:
        return Prior.from_pretrained(place)
    prior = make_prior(codes.tokenizer.codebook_size, ("target", "rotary"), quick=options.quick, seed=0)
    policy = order_policy("random-per-sample", height=8, width=8)
    for step, _ in enumerate(
        training_steps(prior, codes.training, policy, steps=options.steps, batch_size=16, seed=0), start=1
    ):
        if step % 500 == 0:
            print(f"step {step}: {nats_per_code(prior, codes.held_out, policy):.3f} nats/code", flush=True)
            prior.train()
    if not options.quick:
        prior.save_pretrained(place, order=policy.describe(), tokenizer=codes.tokenizer.fingerprint())
    return prior.eval()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--steps", type=int, default=4000, help="of training the prior")
    parser.add_argument("--samples", type=int, default=1000, help="images drawn, and held-out images at most")
    parser.add_argument("--batch-size", type=int, default=50, help="drawn at a time")
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "signals", help="tokenizer, codes, prior")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="where Fashion-MNIST is unpacked")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.samples = 2, 8
    return options


def main() -> None:
    options = parse()
    codes = code_set(
        "fashion-mnist", folder=options.folder, data=options.data, held_out=options.samples, quick=options.quick
    )
    prior = trained_prior(codes, options)
    features = None if options.quick else features_of(codes.images)
    results = []
    if features is not None:  # what the best prior could reach: the tokenizer's own reconstructions
        with torch.no_grad():
            decoded = torch.cat([codes.tokenizer.decode(part) for part in torch.split(codes.held_out, 100)])
        print("reconstructions of the held-out images:", features.distance(decoded), flush=True)
    for order in options.orders:
        for share in SHARES:
            results.append(measure(codes, prior, order, share, features, options))
            print(results[-1], flush=True)
    note = (
        f"4 layers of 128, trained {options.steps} steps of 16 images; {options.samples} samples in batches of "
        f"{options.batch_size}, no filters; {conditions()}."
    )
    print(f"\n{table(results)}\n\n{note}")
    if options.quick or options.orders != list(ORDERS):
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"conditions": note, "results": results}, indent=2) + "\n")
    write_region(README, "groups", f"{table(results)}\n\n{note}")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
