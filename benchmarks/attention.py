"""What attention costs in one layer under each pattern: time and memory of both passes, against dense attention.

    python benchmarks/attention.py                   # on the CPU, about 5 minutes on 2 cores
    python benchmarks/attention.py --device cuda     # on a GPU, in bf16, about 3 minutes, most of them compiling
    python benchmarks/attention.py --quick           # toy size, to see that it runs; writes nothing

All attend over grids of 16 x 16, 32 x 32 and 64 x 64 cells in one random order. Dense attention is measured in 3 ways:
by the fused kernel that knows of causality, by the fused kernel under a pattern's mask (what a pattern costs without a
kernel of its own), and with all scores in memory. Times are medians of turns taken by all, in ms. `kept` is what waits
for the backward pass, which every layer of a prior adds to the memory of training; `peak` is the most memory that
forward and backward pass take above their inputs, on the CPU measured in a process of its own. `pass` is what it takes
to lay out a new order, once for all layers. Both tables, of the CPU and of a GPU, are kept and written anew by either.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from recording import ROOT, conditions, write_region
from torch import Tensor

from vqgen.attention import (
    Attention,
    BigBird,
    BigBird1D,
    ColumnAttention,
    Convolution,
    DenseAttention,
    Fixed,
    Fixed1D,
    Local1D,
    Local2D,
    LSHAttention,
    Pattern,
    Places,
    Reach,
    RowAttention,
    SegmentAttention,
    Strided,
    Strided1D,
)
from vqgen.runtime import prepared_runtime

RESULTS = ROOT / "benchmarks" / "results" / "attention.json"
README = ROOT / "vqgen" / "attention" / "README.md"
PATTERNS: dict[str, Callable[[str], Pattern]] = {
    "Local1D(block=64, memory=64)": lambda kernel: Local1D(block=64, memory=64, kernel=kernel),
    "Local2D(block=8, margin=2)": lambda kernel: Local2D(block=8, margin=2, kernel=kernel),
    "Local2D(block=8, margin=4)": lambda kernel: Local2D(block=8, margin=4, kernel=kernel),
    "Convolution(kernel_size=11)": lambda kernel: Convolution(kernel_size=11, kernel=kernel),
    "RowAttention()": lambda kernel: RowAttention(kernel=kernel),
    "ColumnAttention()": lambda kernel: ColumnAttention(kernel=kernel),
    "Strided()": lambda kernel: Strided(kernel=kernel),
    "Strided1D()": lambda kernel: Strided1D(kernel=kernel),
    "Fixed()": lambda kernel: Fixed(kernel=kernel),
    "Fixed1D()": lambda kernel: Fixed1D(kernel=kernel),
    "BigBird()": lambda kernel: BigBird(kernel=kernel),
    "BigBird1D()": lambda kernel: BigBird1D(kernel=kernel),
}


class AllScores(Attention):
    """Dense attention as it is written down: every score is there at once."""

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, reach: Reach | None = None) -> Tensor:
        scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
        after = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        return scores.masked_fill(after, -torch.inf).softmax(-1).to(values.dtype) @ values


DENSE: dict[str, Callable[[], Attention]] = {
    "dense, fused": DenseAttention,
    "dense, fused, under a mask": lambda: Strided(kernel="masked"),
    "dense, all scores in memory": AllScores,
}

ALGORITHMS: dict[str, Callable[[], Attention]] = {
    "LSHAttention(32, rounds=2)": lambda: LSHAttention(32, rounds=2),
    "LSHAttention(64, rounds=1)": lambda: LSHAttention(64, rounds=1),
    "SegmentAttention(64, memory=64)": lambda: SegmentAttention(64, memory=64),
}


def contestants(device: str) -> list[str]:
    """Names of what is measured: an attention, and behind a comma the kernel of a pattern."""
    kernels = ("blocks",) if device == "cpu" else ("blocks", "flex")
    return [*DENSE, *ALGORITHMS, *(f"{name}, {kernel}" for name in PATTERNS for kernel in kernels)]


def attention_of(name: str) -> Attention:
    if name in (without_kernels := DENSE | ALGORITHMS):
        return without_kernels[name]()
    pattern, _, kernel = name.rpartition(", ")
    return PATTERNS[pattern](kernel)


def places_of(order: Tensor, side: int) -> Places:
    content = torch.cat((order.new_full((1, 1), -1), order[:, :-1]), dim=1)
    return Places(order, content, first=0, height=side, width=side)


def inputs(side: int, options: argparse.Namespace) -> list[Tensor]:
    """Queries, keys, values and a gradient, laid out as a prior lays them out."""
    torch.manual_seed(0)
    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    shape = (options.batch_size, side * side, options.heads, options.head_dim)
    made = [torch.randn(shape, device=options.device, dtype=dtype).transpose(1, 2) for _ in range(4)]
    return [*(each.requires_grad_() for each in made[:3]), made[3]]


def run(attention: Attention, reach: Reach, given: list[Tensor]) -> None:
    out = attention(*given[:3], reach)
    torch.autograd.grad(out, given[:3], given[3])


def settled(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(call: Callable[[], Any], device: str) -> float:
    start = settled(device)
    call()
    return settled(device) - start


def bytes_kept(attention: Attention, reach: Reach, given: list[Tensor]) -> int:
    """What autograd holds on to, without what all layers share."""
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():  # masks and indices are those of the order
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attention(*given[:3], reach)
    return sum(held.values())


def peak_here(name: str, side: int, options: argparse.Namespace) -> int:
    """Bytes that forward and backward pass take at most above their inputs, in this process."""
    attention, given, small = attention_of(name), inputs(side, options), inputs(4, options)
    order = torch.randperm(side * side, device=options.device)[None]
    reach = attention.reach(places_of(order, side))
    if options.device != "cpu":
        run(attention, reach, given)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(attention, reach, given)
        return torch.cuda.max_memory_allocated() - before
    run(attention, attention.reach(places_of(torch.arange(16)[None], 4)), small)  # libraries find their memory
    if isinstance(attention, Pattern):
        with torch.no_grad():  # what the order needs is laid out, for all layers
            attention(*given[:3], reach)
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark is forgotten
    before = from_status("VmRSS")
    run(attention, reach, given)
    return from_status("VmHWM") - before


def from_status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def peak_of(name: str, side: int, options: argparse.Namespace) -> int | None:
    """The same in a process of its own where memory cannot be told apart otherwise."""
    if options.device != "cpu":
        return peak_here(name, side, options)
    if options.quick or not Path("/proc/self/clear_refs").exists():
        return None
    arguments = [__file__, "--peak-of", name, "--sides", str(side), "--batch-size", str(options.batch_size)]
    found = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return int(found.stdout)


def measure(side: int, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Everything about grids of one side."""
    given, device = inputs(side, options), options.device
    attentions = {name: attention_of(name) for name in options.contestants}
    orders = [torch.randperm(side * side, device=device)[None] for _ in range(3)]
    reaches, found = {}, {}
    for name, attention in attentions.items():
        reaches[name] = attention.reach(places_of(orders[0], side))
        run(attention, reaches[name], given)  # layouts are made and kernels compiled
        kept, layouts = bytes_kept(attention, reaches[name], given), []
        for order in orders[1:]:
            with torch.no_grad():
                places = places_of(order, side)
                whole = seconds_of(lambda: attention(*given[:3], attention.reach(places)), device)  # noqa: B023
                again = seconds_of(lambda: attention(*given[:3], reaches[name]), device)  # noqa: B023
            layouts.append(max(whole - again, 0.0))
        found[name] = {"kept_bytes": kept, "pass_seconds": min(layouts), "peak_bytes": peak_of(name, side, options)}
    taken: dict[str, list[float]] = {name: [] for name in attentions}
    for _ in range(options.turns):
        for name, attention in attentions.items():
            if sum(taken[name]) < 10.0:  # what is slow is not measured as often
                taken[name].append(seconds_of(lambda: run(attention, reaches[name], given), device))  # noqa: B023
    return {name: {"seconds": statistics.median(taken[name]), **found[name]} for name in attentions}


def table(results: dict[str, Any]) -> str:
    """One row for each attention; of each length the time, what is kept and the peak, and at the end how many times
    less than fused dense attention."""
    sides = sorted(results["measured"], key=int)
    heads = [f"n = {int(side) ** 2}: ms | kept MB | peak MB" for side in sides]
    lines = [f"| attention | {' | '.join(heads)} | pass ms | times faster |", "|---" * (3 * len(sides) + 3) + "|"]
    last = results["measured"][sides[-1]]

    def megabytes(count: float | None) -> str:
        return "" if count is None else f"{count / 1e6:.0f}"

    for name, most in last.items():
        cells = []
        for side in sides:
            of = results["measured"][side][name]
            cells += [f"{of['seconds'] * 1e3:.1f}", megabytes(of["kept_bytes"]), megabytes(of["peak_bytes"])]
        times = last["dense, fused"]["seconds"] / most["seconds"]
        cells += [f"{most['pass_seconds'] * 1e3:.1f}", f"{times:.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size, nothing written")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64], help="of the grids")
    parser.add_argument("--batch-size", type=int, help="1 on the CPU and 8 on a GPU by default")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--contestants", nargs="+", help="part of them, for a look; nothing is written then")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.part = options.contestants is not None
    options.contestants = options.contestants or contestants(options.device)
    options.batch_size = options.batch_size or (1 if options.device == "cpu" else 8)
    if options.quick:
        options.sides, options.heads, options.head_dim, options.turns = [4, 8], 2, 16, 2
    return options


def main() -> None:
    options = parse()
    if options.peak_of is not None:
        print(peak_here(options.peak_of, options.sides[0], options))
        return
    measured = {}
    for side in options.sides:
        measured[str(side)] = measure(side, options)
        for name, of in measured[str(side)].items():
            peak = "" if of["peak_bytes"] is None else f"  peak {of['peak_bytes'] / 1e6:8.1f} MB"
            print(f"n = {side * side:5d}  {name:40s} {of['seconds'] * 1e3:9.2f} ms{peak}", flush=True)
    note = (
        f"{options.heads} heads of {options.head_dim}, batch {options.batch_size}, "
        f"{'fp32' if options.device == 'cpu' else 'bf16'}; {conditions(options.device)}."
    )
    results = {"note": note, "measured": measured}
    print(f"\n{table(results)}\n\n{note}")
    if options.quick or options.part or options.sides != [16, 32, 64]:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    every = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    every[options.device] = results
    RESULTS.write_text(json.dumps(every, indent=2) + "\n")
    texts = [f"{table(every[device])}\n\n{every[device]['note']}" for device in ("cpu", "cuda") if device in every]
    write_region(README, "attention", "\n\n".join(texts))


if __name__ == "__main__":
    with prepared_runtime():
        main()
