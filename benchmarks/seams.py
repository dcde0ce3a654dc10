"""How visible the borders between windows are in pictures larger than the prior was trained on.

    python benchmarks/seams.py runs/openmoji_any_order            # the table in vqgen/editing/README.md
    python benchmarks/seams.py runs/openmoji_any_order --order raster hilbert --n 64 --factor 3
    python benchmarks/seams.py --quick                   # an untrained toy, to see that it runs; writes nothing

For every order, pictures are drawn in three ways from the same seeds: window by window (`plan_windows`), one cell at a
time with a window around each (the way of taming-transformers), and as unconnected tiles of the trained size. Each set
is measured at the borders between the windows of the first way, the tiles at those between tiles: the step in pixel
values where two cells of different windows meet, against that where cells of one window meet. A ratio of 1 means that
no border can be told. The last but one column is the difference to taming's pictures measured at the same places, with
the 95% interval of its mean over pictures. Orders that jump about draw every cell in a window of its own and have no
borders to measure.
"""

import argparse
import json
import math
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.editing import SeamSteps, complete_larger, order_of_size, plan_windows, seam_steps, window_map
from vqgen.orders import ORDERS, order_policy
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.runtime import prepared_runtime
from vqgen.tokenizer import Decoder, Encoder, decode_tiled

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "seams.json"
README = ROOT / "vqgen" / "editing" / "README.md"
BEGIN, END = "<!-- seams: begin -->", "<!-- seams: end -->"
LOCAL_ORDERS = ("raster", "hilbert", "spiral-out")
WAYS = {"windows": "windows", "one by one": "one cell at a time (taming)", "tiles": "unconnected tiles"}


def toy() -> Pipeline:
    """An untrained pipeline of 4 x 4 cells."""
    torch.manual_seed(0)
    body: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8, "attention_at": (), "blocks": 1}
    tokenizer = Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=16, dim=4))
    prior = Prior(16, height=4, width=4, dim=16, depth=1, heads=2)
    return Pipeline(tokenizer, prior, order_policy("random-per-sample", height=4, width=4))


def measure(pipeline: Pipeline, name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Steps and times of the ways to draw, in one order."""
    prior = pipeline.prior
    height, width = options.factor * prior.height, options.factor * prior.width
    own = None if pipeline.order.takes_any else pipeline.order.default
    order = order_of_size(name, pipeline.order.default, height=height, width=width)
    plan = plan_windows(order, height=prior.height, width=prior.width, margin=options.margin, own=own)
    windows = window_map(plan, height=height, width=width)
    assert isinstance(prior, Prior), "windows are for causal priors"
    down, across = torch.arange(height) // prior.height, torch.arange(width) // prior.width
    squares = down[:, None] * options.factor + across[None, :]
    labels = None if prior.num_classes == 0 else torch.arange(options.n) % prior.num_classes
    grid = torch.zeros(options.n, height, width, dtype=torch.int64)
    sampling = {
        "temperature": options.temperature,
        "top_k": options.top_k,
        "seed": options.seed,
        "batch_size": options.n,
    }

    images: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    for way in WAYS:
        start = time.perf_counter()
        if way == "tiles":
            codes = tiles(pipeline, name, labels, options)
        else:
            how: dict[str, Any] = {"one_by_one": way == "one by one", "margin": options.margin, "own": own}
            unknown = torch.ones_like(grid, dtype=torch.bool)
            codes = complete_larger(prior, grid, unknown, order, labels, **how, **sampling)
        seconds[way] = time.perf_counter() - start
        images[way] = decode_tiled(pipeline.tokenizer, codes)
    rows = []
    for way, drawn in images.items():
        places = squares if way == "tiles" else windows
        steps, base = seam_steps(drawn, places), seam_steps(images["one by one"], places)
        row = {
            "order": name,
            "way": way,
            "windows": {"windows": len(plan), "one by one": height * width, "tiles": options.factor**2}[way],
            "ratio": steps.ratio,
            "difference": interval(excess(steps) - excess(base)),
            "seconds_per_image": seconds[way] / options.n,
        }
        rows.append(row)
    return rows


def tiles(pipeline: Pipeline, name: str, labels: Tensor | None, options: argparse.Namespace) -> Tensor:
    """Grids put together from pictures that know nothing of each other."""
    order = None if not pipeline.order.takes_any else name
    parts = [
        pipeline.generate_codes(
            options.n,
            labels,
            order,
            temperature=options.temperature,
            top_k=options.top_k,
            seed=options.seed + 1 + index,
            batch_size=options.n,
        )
        for index in range(options.factor**2)
    ]
    rows = [torch.cat(parts[start : start + options.factor], dim=2) for start in range(0, len(parts), options.factor)]
    return torch.cat(rows, dim=1)


def excess(steps: SeamSteps) -> Tensor:
    """(b,) by how much of the mean inside step the step across a border is larger."""
    return (steps.across - steps.inside) / steps.inside.mean()


def interval(values: Tensor) -> tuple[float, float]:
    """Mean and half the 95% interval of it (normal approximation)."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))


def table(rows: list[dict[str, Any]], conditions: str) -> str:
    lines = [
        conditions,
        "",
        "| order | drawn | windows | step across / inside | more than one at a time (95%) | s per picture |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        mean, half = row["difference"]
        versus = "" if row["way"] == "one by one" else f"{mean:+.3f} ± {half:.3f}"
        lines.append(
            f"| `{row['order']}` | {WAYS[row['way']]} | {row['windows']} | {row['ratio']:.3f} | {versus} | "
            f"{row['seconds_per_image']:.2f} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a pipeline; leave it out with --quick")
    parser.add_argument("--quick", action="store_true", help="an untrained toy")
    parser.add_argument("--order", nargs="+", choices=ORDERS, metavar="ORDER", default=list(LOCAL_ORDERS))
    parser.add_argument("--n", type=int, default=48, help="pictures a way")
    parser.add_argument("--factor", type=int, default=2, help="times as high and wide as trained")
    parser.add_argument("--margin", type=int, help="of the windows, in cells; default: a quarter of the window")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.quick == (options.folder is not None):
        parser.error("give a folder, or --quick")
    return options


def main() -> None:
    options = parse()
    if options.quick:
        options.n, options.order = 3, ["raster", "hilbert"]
    with prepared_runtime(), torch.no_grad():
        pipeline = toy() if options.quick else Pipeline.from_pretrained(options.folder)
        rows = [row for name in options.order for row in measure(pipeline, name, options)]
    height, width = pipeline.image_size
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    conditions = (
        f"{options.n} pictures of {options.factor * height} x {options.factor * width} pixels a row, trained on "
        f"{height} x {width} ({pipeline.prior.height} x {pipeline.prior.width} cells), temperature "
        f"{options.temperature}, seed {options.seed}; {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, commit {commit}."
    )
    text = table(rows, conditions)
    print(text)
    if options.quick:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    record = {"conditions": conditions, "machine": platform.processor() or platform.machine(), "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    before, after = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    README.write_text(f"{readme[:before]}\n{text}\n{readme[after:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
