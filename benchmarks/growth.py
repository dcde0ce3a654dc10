"""How cost grows: drawing and training with the number of codes, dense and sparse; the tokenizer with the image.

    python benchmarks/growth.py            # the tables in README.md, about 5 minutes on two idle cores
    python benchmarks/growth.py --quick    # a toy size in seconds, to see that it runs; writes nothing

A prior of 4 layers of 512 meets grids of 8 x 8 to 64 x 64 codes in raster order. Drawing is measured over the last
codes of an image, with the keys and values of all before them in the cache: a token's median time. Training is forward
and backward pass of one image. The tokenizer is VQGAN's, f = 16, at half its width, from 64 to 512 pixels. Attentions
take turns at each size, and sizes within each repeat; everything runs as vqgen's commands and scripts do
(`vqgen.runtime`), but for the memory of encoding and decoding: that is what each takes at its peak above the model in a
process of its own, as Python leaves it. An exponent of p says that twice the size takes 2^p times as long.
"""

import argparse
import itertools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from recording import README, conditions, forget_peak, own_peak_megabytes, write_region, write_results

from vqgen.attention import Attention, Local2D, SegmentAttention, Strided
from vqgen.prior import Prior
from vqgen.quantizers import VectorQuantizer
from vqgen.runtime import prepared_runtime
from vqgen.sampling import sample_autoregressive
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


@dataclass(frozen=True)
class Size:
    """What is measured."""

    dim: int = 512
    depth: int = 4
    heads: int = 8
    vocabulary: int = 1024
    sides: tuple[int, ...] = (8, 16, 32, 64)
    window: int = 64
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    codes: int = 16_384
    pixels: tuple[int, ...] = (64, 128, 256, 512)


QUICK = Size(16, 2, 2, 16, (4, 8), 4, 32, (1, 2), 16, (8, 16))
ATTENTIONS: dict[str, Callable[[], Attention | None]] = {
    "dense": lambda: None,
    "Local2D(block=8, margin=4)": lambda: Local2D(block=8, margin=4),
    "Strided()": Strided,
    "SegmentAttention(64, memory=64)": lambda: SegmentAttention(64, memory=64),
}
DIRECTIONS = ("encode", "decode")


def build_prior(size: Size, side: int, attention: str) -> Prior:
    torch.manual_seed(0)
    prior = Prior(
        size.vocabulary,
        side,
        side,
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        attention=ATTENTIONS[attention](),
    )
    torch.nn.init.normal_(prior.head.weight, std=0.02)  # as built, it is all zeros
    return prior


def drawing(prior: Prior, window: int) -> float:
    """Seconds of a token among the last of an image whose others are known."""
    steps = prior.height * prior.width
    last = min(window, steps // 4)  # of a short sequence not the steps whose cache is nearly empty
    known = torch.randint(prior.codebook_size, (1, steps - last))
    ends = []
    sample_autoregressive(prior, torch.arange(steps), prefix=known, on_step=lambda *_: ends.append(time.perf_counter()))
    # Laying out an order is done once, in the first steps: the median leaves it out.
    return statistics.median(stop - start for start, stop in itertools.pairwise(ends))


def training(prior: Prior) -> float:
    """Seconds of forward and backward pass of one image."""
    codes = torch.randint(prior.codebook_size, (1, prior.height, prior.width))
    positions = torch.arange(codes.numel())[None]
    prior.train().zero_grad()
    start = time.perf_counter()
    loss: Any = prior.nll(codes, positions).mean()
    loss.backward()
    return time.perf_counter() - start


def measure_priors(size: Size, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for side in size.sides:
        priors = {name: build_prior(size, side, name) for name in ATTENTIONS}
        taken: dict[tuple[str, str], list[float]] = {
            (work, name): [] for work in ("drawing", "training") for name in priors
        }
        for repeat in range(repeats + 1):  # the first round warms up and does not count
            for name, prior in priors.items():
                found = {"drawing": drawing(prior, size.window), "training": training(prior)}
                for work, seconds in found.items():
                    if repeat:
                        taken[work, name].append(1e3 * seconds)
        for (work, name), milliseconds in taken.items():
            rows.append({"work": work, "of": name, "size": side**2, **summary(milliseconds)})
            print(f"n = {side**2:5d}  {work:8s}  {name:32s} {rows[-1]['median']:9.2f} ms", flush=True)
    return rows


def summary(milliseconds: list[float]) -> dict[str, Any]:
    return {"milliseconds": milliseconds, "median": statistics.median(milliseconds)}


def build_tokenizer(size: Size) -> Tokenizer:
    torch.manual_seed(0)
    body: dict[str, Any] = {
        "channels": size.channels,
        "multipliers": size.multipliers,
        "attention_at": (2 ** (len(size.multipliers) - 1),),
        "latent_channels": 2 * size.channels,
    }
    quantizer = VectorQuantizer(size.codes, body["latent_channels"], kmeans_start=False)
    return Tokenizer(Encoder(**body), Decoder(**body), quantizer).eval()


def work_of(tokenizer: Tokenizer, direction: str, pixels: int) -> Callable[[], Any]:
    """Encode or decode one image of that many pixels square."""
    torch.manual_seed(1)
    if direction == DIRECTIONS[0]:
        images = torch.rand(1, 3, pixels, pixels) * 2 - 1
        return lambda: tokenizer.encode(images)
    cells = pixels // tokenizer.downsampling
    codes = torch.randint(tokenizer.codebook_size, (1, cells, cells))
    return lambda: tokenizer.decode(codes)


def extra_megabytes(size: Size, direction: str, pixels: int) -> float:
    """In this process: what encoding or decoding takes at its peak, above the model and what is there before."""
    tokenizer = build_tokenizer(size)
    with torch.inference_mode():
        work_of(tokenizer, direction, tokenizer.downsampling)()  # libraries load their kernels now
        run = work_of(tokenizer, direction, pixels)
        forget_peak()
        before = own_peak_megabytes()
        run()
        return own_peak_megabytes() - before


def measure_tokenizer(size: Size, repeats: int, quick: bool) -> list[dict[str, Any]]:
    tokenizer, rows = build_tokenizer(size), []
    wanted = list(itertools.product(DIRECTIONS, size.pixels))
    works = {each: work_of(tokenizer, *each) for each in wanted}
    taken: dict[tuple[str, int], list[float]] = {each: [] for each in wanted}
    with torch.inference_mode():
        for repeat in range(repeats + 1):
            for each, work in works.items():
                start = time.perf_counter()
                work()
                if repeat:
                    taken[each].append(1e3 * (time.perf_counter() - start))
    for (direction, pixels), milliseconds in taken.items():
        megabytes = None if quick else memory_in_process(direction, pixels)
        rows.append({"work": direction, "of": "VQGAN", "size": pixels, "extra_megabytes": megabytes})
        rows[-1].update(summary(milliseconds))
        print(f"{pixels:4d} pixels  {direction:8s} {rows[-1]['median']:9.2f} ms  {megabytes} MB", flush=True)
    return rows


def memory_in_process(direction: str, pixels: int) -> float:
    command = [sys.executable, __file__, "--memory-of", direction, str(pixels)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def exponents(sizes: Sequence[int], costs: Sequence[float]) -> list[float]:
    """Slopes of the cost in a plot whose axes are both logarithmic, between consecutive sizes."""
    pairs = itertools.pairwise(zip(sizes, costs, strict=True))
    return [math.log(more / cost) / math.log(larger / size) for (size, cost), (larger, more) in pairs]


def table(rows: list[dict[str, Any]], works: Sequence[str], unit: str) -> str:
    """A line for each thing measured: its cost at each size, and how that grows."""
    sizes = sorted({row["size"] for row in rows if row["work"] in works})
    heads = " | ".join(f"{size:,}{unit}" for size in sizes)
    lines = [f"| | {heads} | exponents |", "|---" * (len(sizes) + 2) + "|"]
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for row in rows:
        if row["work"] in works:
            found.setdefault((row["work"], row["of"]), {})[row["size"]] = row
    for (work, name), by_size in found.items():
        for key, unit_of_cost in (("median", "ms"), ("extra_megabytes", "MB")):
            costs = [by_size[size].get(key) for size in sizes]
            if None in costs:
                continue
            slopes = ", ".join(f"{slope:.2f}" for slope in exponents(sizes, [max(cost, 1e-3) for cost in costs]))
            cells = " | ".join(f"{_significant(cost):g}" for cost in costs)
            lines.append(f"| {work}, {unit_of_cost}{'' if name == 'VQGAN' else f': {name}'} | {cells} | {slopes} |")
    return "\n".join(lines)


def _significant(cost: float) -> float:
    """Three digits of it, without an exponent once printed."""
    return float(f"{cost:.3g}")


def growth_in_words(rows: list[dict[str, Any]], works: Sequence[str]) -> str:
    """The exponents of time at the largest sizes."""
    said = []
    for work in works:
        names = dict.fromkeys(row["of"] for row in rows if row["work"] == work)
        each = []
        for name in names:
            of = {row["size"]: row["median"] for row in rows if (row["work"], row["of"]) == (work, name)}
            slope = exponents(list(of), list(of.values()))[-1]
            each.append(f"{slope:.2f}" if name == "VQGAN" else f"{slope:.2f} ({name})")
        said.append(f"{work} {', '.join(each)}")
    sizes = sorted({row["size"] for row in rows if row["work"] in works})
    return f"From {sizes[-2]:,} to {sizes[-1]:,} the time grows with the exponent: {'; '.join(said)}."


def report(size: Size, rows: list[dict[str, Any]], note: str) -> str:
    priors, images = ("drawing", "training"), DIRECTIONS
    return "\n\n".join(
        (
            f"A prior of {size.depth} layers of {size.dim}, batch 1, n codes: a drawn token, and forward and backward "
            "pass of one image.",
            table(rows, priors, " codes"),
            growth_in_words(rows, priors),
            f"VQGAN f{2 ** (len(size.multipliers) - 1)} of base width {size.channels}, {size.codes:,} codes, one image "
            "of that many pixels square: time, and peak memory above the model.",
            table(rows, images, " pixels"),
            growth_in_words(rows, images) + " (2 is linear in the number of pixels.)",
            note,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", nargs=2, metavar=("DIRECTION", "PIXELS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    size, repeats = (QUICK, 1) if options.quick else (Size(), options.repeats)
    if options.memory_of:
        print(extra_megabytes(size, options.memory_of[0], int(options.memory_of[1])))
        return
    with prepared_runtime():
        rows = [*measure_priors(size, repeats), *measure_tokenizer(size, repeats, options.quick)]
        note = f"fp32; {conditions()}; medians of {repeats} interleaved repeats."
    text = report(size, rows, note)
    print(f"\n{text}")
    if not options.quick:
        write_results("growth", {"size": asdict(size), "conditions": note, "results": rows})
        write_region(README, "growth", text)


if __name__ == "__main__":
    main()
