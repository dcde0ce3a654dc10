"""What a segment memory saves: multiply-adds and milliseconds of one more token, by five ways to know the others.

    python benchmarks/segment_memory.py            # on the CPU, about a minute on 2 cores
    python benchmarks/segment_memory.py --quick    # toy size, to see that it runs; writes nothing

A prior draws over 32 x 32 cells (n = 1024) in raster order, a segment is two rows of the grid and the memory two more.
Each way takes in the codes of a whole sequence one by one and is timed over the last segment, where a steady state is
reached. The ways with the same meaning are compared while they run: a memory of hidden states and a memory of keys and
values give the same logits, and so do dense attention with a cache and without.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from recording import ROOT, conditions, write_region
from torch import Tensor

from vqgen.attention import SegmentAttention, dense_causal_attention
from vqgen.prior import Prior

README = ROOT / "vqgen" / "attention" / "README.md"
WAYS = {
    "window": "sliding window, computed anew",
    "hidden": "segment memory of hidden states (Transformer-XL)",
    "memory": "segment memory of keys and values (`SegmentAttention`)",
    "dense": "dense, keys and values of all steps",
    "anew": "dense, computed anew",
}


def multiply_adds(way: str, *, dim: int, inner: int, segment: int, memory: int, step: int) -> float:
    """Multiply-adds of one layer for the token of a step, on average over its segment where that matters.

    Args:
        way: key of `WAYS`.
        dim: width d.
        inner: inner width of a gated feed-forward.
        segment: steps of a segment.
        memory: steps before it.
        step: steps known, this one included.

    Returns:
        Numbers multiplied and added: weights of rows that are computed, and the two products of attention.
    """
    row = 4 * dim**2 + 3 * dim * inner  # queries, keys, values, output; gate, value, back
    held = 1 + memory + (segment + 1) / 2  # the start, the memory, and on average half a segment up to the step itself
    if way == "window":
        rows = segment + memory
        return rows * row + dim * rows * (rows + 1)
    if way == "hidden":
        return row + 2 * dim**2 * (held - 1) + 2 * dim * held
    if way == "memory":
        return row + 2 * dim * held
    if way == "dense":
        return row + 2 * dim * step
    return step * row + dim * step * (step + 1)


def with_hidden_states(prior: Prior, segment: int, memory: int, codes: Tensor) -> Iterator[Tensor]:
    """Logits of each step from stored hidden states, of which keys and values are made again at every step."""
    inputs = prior._inputs(codes[:, :-1], None)[0]
    positions = torch.arange(codes.shape[1])
    added = prior.locate(positions, batch_size=len(codes)).added
    assert added is not None
    blocks: Any = prior.blocks
    stored: list[list[Tensor]] = [[] for _ in blocks]
    for step in range(codes.shape[1]):
        hidden = inputs[:, step : step + 1] + added[:, step : step + 1]
        for block, rows in zip(blocks, stored, strict=True):
            rows.append(block.attention_norm(hidden))
            since = max(step // segment * segment - memory, 1)
            known = torch.cat((rows[0], *rows[since:]), dim=1) if step else rows[0]
            query = block.attention.project(rows[-1], None)[0]
            _, keys, values = block.attention.project(known, None)
            mixed = dense_causal_attention(query, keys, values)
            hidden = hidden + block.attention.output(mixed.transpose(1, 2).flatten(2))
            hidden = hidden + block.fed(hidden, None)
        yield prior.head(prior.final_norm(hidden))


def with_cache(prior: Prior, codes: Tensor) -> Iterator[Tensor]:
    located, cache = prior.locate(torch.arange(codes.shape[1]), batch_size=len(codes)), prior.new_cache(len(codes))
    for step in range(codes.shape[1]):
        yield prior.advance(codes[:, max(step - 1, 0) : step], located, cache)


def computed_anew(prior: Prior, codes: Tensor, rows: int, steps: range) -> Iterator[Tensor]:
    """As many rows as are looked at, at every step; of a window the last ones stand where the first ones do here."""
    positions = torch.arange(codes.shape[1])
    for step in steps:
        yield prior(codes[:, : min(rows, step + 1)], positions)[:, -1:]


def milliseconds(steps: Iterator[Tensor], timed: int, batch_size: int) -> tuple[float, Tensor]:
    """Of the last ``timed`` steps, per token; and the logits of all."""
    logits, times, start = [], [], time.perf_counter()
    for found in steps:
        times.append(time.perf_counter() - start)
        logits.append(found)
        start = time.perf_counter()
    return 1e3 * sum(times[-timed:]) / (min(timed, len(times)) * batch_size), torch.cat(logits, dim=1)


def check_equal(name: str, first: Tensor, second: Tensor) -> None:
    if not torch.allclose(first, second, atol=1e-3):
        raise SystemExit(f"{name} differ by {float((first - second).abs().max()):g}; they should be the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy size; print and write nothing")
    options = parser.parse_args()
    side, dim, depth, batch_size = (6, 16, 2, 2) if options.quick else (32, 256, 4, 1)
    segment = memory = 2 * side
    torch.manual_seed(0)
    settings: dict[str, Any] = {"dim": dim, "depth": depth, "heads": 4, "signals": ("target",)}
    remembering = Prior(512, side, side, **settings, attention=SegmentAttention(segment, memory)).eval()
    for parameter in remembering.parameters():  # as built, layers add nothing, and every way would be right
        torch.nn.init.normal_(parameter, std=0.05)
    dense = Prior(512, side, side, **settings).eval()
    dense.load_state_dict(remembering.state_dict())
    codes, cells = torch.randint(512, (batch_size, side * side)), side * side
    few = range(cells - 1, cells - 4, -1)  # dense attention computed anew takes its time

    ways: dict[str, Callable[[], Iterator[Tensor]]] = {
        "window": lambda: computed_anew(dense, codes, segment + memory, range(cells - segment, cells)),
        "hidden": lambda: with_hidden_states(remembering, segment, memory, codes),
        "memory": lambda: with_cache(remembering, codes),
        "dense": lambda: with_cache(dense, codes),
        "anew": lambda: computed_anew(dense, codes, cells, few),
    }
    with torch.inference_mode():
        found = {way: milliseconds(run(), segment, batch_size) for way, run in ways.items()}
    check_equal("memories of hidden states, and of keys and values,", found["hidden"][1], found["memory"][1])
    check_equal("dense attention with a cache and without", found["dense"][1][:, -1], found["anew"][1][:, 0])
    first: Any = dense.blocks[0]
    inner = first.feed_forward.narrow.in_features
    sizes: dict[str, int] = {"dim": dim, "inner": inner, "segment": segment, "memory": memory, "step": cells}
    counts = {way: depth * multiply_adds(way, **sizes) for way in WAYS}
    kept = {
        "window": 0,
        "hidden": depth * dim * (1 + segment + memory),
        "memory": remembering.new_cache(1).bytes // 4,
        "dense": dense.new_cache(1).bytes // 4,
        "anew": 0,
    }
    lines = [
        "| way | sees steps | multiply-adds a token | against dense | numbers kept | ms a token |",
        "|---|---|---|---|---|---|",
    ]
    for way, name in WAYS.items():
        sees = (
            "all"
            if way in ("dense", "anew")
            else f"{segment + memory}"
            if way == "window"
            else f"{memory} to {memory + segment}"
        )
        lines.append(
            f"| {name} | {sees} | {counts[way] / 1e6:.2f} M | {counts[way] / counts['dense']:.2f} | "
            f"{kept[way] / 1e3:.0f} k | {found[way][0]:.2f} |"
        )
    lines += ["", f"{depth} layers of {dim}, {side} x {side} cells, step {cells}; batch {batch_size}; {conditions()}."]
    print("\n".join(lines))
    if not options.quick:
        write_region(README, "segment-memory", "\n".join(lines))


if __name__ == "__main__":
    main()
