"""Images per second of drawing codes: one by one under every signal, in groups, and two peers at the same size.

    python benchmarks/order.py                  # the table in README.md, about 10 minutes on two idle cores
    python benchmarks/order.py --device cuda    # its table of a GPU
    python benchmarks/order.py --quick          # a toy size in seconds, to see that it runs; writes nothing

Priors of one depth, width and vocabulary, with random weights, draw 256 codes an image: vqgen one by one under each
position signal and, with the default signals, in groups of a random order in 128, 64 and 32 steps (cosine schedule, and
linear, whose groups are all of one size);
`transformers`' GPT-2 and `x-transformers` one by one, in raster order, the only one they have. No filters on any side.
The contestants take turns within one process, so that a change in the machine's speed meets them all.
"""

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from recording import README, conditions, version_of, write_region, write_results
from sampling import Draw, Size, build_gpt2

from vqgen.prior import Prior
from vqgen.sampling import group_sizes, sample_groups

SIGNALS = ("step", "cell", "double", "target", "rotary", "target+rotary", "instruction")
DEFAULT = "target+rotary"


def build_vqgen(size: Size, device: str, signals: str, share: int, schedule: str = "cosine") -> Draw:
    """Drawing in n / share steps, in a random order."""
    torch.manual_seed(0)
    prior = Prior(
        size.vocabulary,
        size.height,
        size.width,
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        signals=tuple(signals.split("+")),
    ).to(device)
    torch.nn.init.normal_(prior.head.weight, std=0.02)  # as built, it is all zeros
    positions, groups = torch.randperm(size.steps), group_sizes(size.steps, max(1, size.steps // share), schedule)

    def draw(batch_size: int) -> None:
        sequence = sample_groups(prior, positions, groups=groups, batch_size=batch_size)
        assert sequence.shape == (batch_size, size.steps)

    return draw


def build_transformers(size: Size, device: str, cache: str) -> Draw:
    return build_gpt2(size, device, cache=cache)[1]


def build_x_transformers(size: Size, device: str) -> Draw:
    x_transformers = importlib.import_module("x_transformers")  # of the extra `bench`
    torch.manual_seed(0)
    layers = x_transformers.Decoder(
        dim=size.dim, depth=size.depth, heads=size.heads, attn_dim_head=size.dim // size.heads, attn_flash=True
    )
    network = x_transformers.TransformerWrapper(
        num_tokens=size.vocabulary, max_seq_len=size.steps + 1, attn_layers=layers
    )
    model = x_transformers.AutoregressiveWrapper(network).eval().to(device)

    def draw(batch_size: int) -> None:
        with torch.inference_mode():
            start = torch.zeros(batch_size, 1, dtype=torch.int64, device=device)
            sequence = model.generate(start, size.steps, filter_logits_fn=lambda logits: logits)
        assert sequence.shape == (batch_size, size.steps)

    return draw


CONTESTANTS: dict[str, Callable[[Size, str], Draw]] = {
    **{f"vqgen, one by one, `{signals}`": partial(build_vqgen, signals=signals, share=1) for signals in SIGNALS},
    **{
        f"vqgen, groups, n / {share} steps, {schedule}": partial(
            build_vqgen, signals=DEFAULT, share=share, schedule=schedule
        )
        for share in (2, 4, 8)
        for schedule in ("cosine", "linear")
    },
    "transformers GPT-2, static cache": partial(build_transformers, cache="static"),
    "transformers GPT-2, dynamic cache": partial(build_transformers, cache="dynamic"),
    "x-transformers": build_x_transformers,
}
OURS, PEERS = f"vqgen, one by one, `{DEFAULT}`", ("transformers", "x-transformers")


def measure(size: Size, options: argparse.Namespace) -> list[dict[str, Any]]:
    draws = {name: CONTESTANTS[name](size, options.device) for name in options.contestants}
    results = []
    for batch_size in options.batch_sizes:
        rates: dict[str, list[float]] = {name: [] for name in draws}
        for repeat in range(options.repeats + 1):  # the first round warms up and does not count
            for name, draw in draws.items():
                start = time.perf_counter()
                draw(batch_size)
                if options.device != "cpu":
                    torch.accelerator.synchronize()
                if repeat:
                    rates[name].append(batch_size / (time.perf_counter() - start))
        for name, found in rates.items():
            median = statistics.median(found)
            results.append({"contestant": name, "batch_size": batch_size, "images_per_second": found, "median": median})
            print(f"batch {batch_size}  {name:44s} {median:8.3f} images/s", flush=True)
    return results


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| | batch | images/s, median (range) | against one by one | against the fastest peer |",
        "|---|---|---|---|---|",
    ]
    for row in results:
        beside = [other for other in results if other["batch_size"] == row["batch_size"]]
        own = [other["median"] for other in beside if other["contestant"] == OURS]
        peers = [other["median"] for other in beside if other["contestant"].startswith(PEERS)]
        cells = [
            row["contestant"],
            str(row["batch_size"]),
            f"{row['median']:.3g} ({min(row['images_per_second']):.3g} to {max(row['images_per_second']):.3g})",
            f"{row['median'] / own[0]:.2f}x" if own else "",
            f"{row['median'] / max(peers):.2f}x" if peers else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.repeats = 1 if options.quick else options.repeats
    size = Size(depth=2, dim=32, heads=2, vocabulary=64, height=4, width=4) if options.quick else Size()
    results = measure(size, options)
    note = (
        f"{size.depth} layers of {size.dim}, vocabulary {size.vocabulary}, {size.steps} codes an image, fp32; "
        f"{conditions(options.device)}, transformers {version_of('transformers')}, "
        f"x-transformers {version_of('x-transformers')}; medians of "
        f"{options.repeats} interleaved repeats."
    )
    print(f"\n{note}\n\n{table(results)}")
    if options.quick or options.contestants != list(CONTESTANTS):
        return
    name = "order" if options.device == "cpu" else f"order-{options.device.partition(':')[0]}"
    write_results(name, {"size": asdict(size), "conditions": note, "results": results})
    write_region(README, name, f"{note}\n\n{table(results)}")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
