"""Nearest codebook vector: time and extra memory of the bounded search against the whole matrix of distances.

    python benchmarks/nearest.py            # the table in README.md, about a minute
    python benchmarks/nearest.py --quick    # a toy size, to see that it runs; writes nothing

Four grids of 16 x 16 latents of width 256, K = 16,384, as VQGAN has them, and eight times as many. The whole matrix is
`||z||^2 + ||e||^2 - 2 z e^T`, then argmin. Each is measured in a process of its own, in turns; extra memory is what the
process' peak rises by in the search.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqgen.quantizers import nearest_codes

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- nearest: begin -->", "<!-- nearest: end -->"
SIZES = ((1024, 16_384, 256), (8192, 16_384, 256))
QUICK = ((64, 128, 8),)


def whole_matrix(latents: Tensor, codebook: Tensor) -> Tensor:
    squares = latents.square().sum(1, keepdim=True) + codebook.square().sum(1)
    return (squares - 2 * latents @ codebook.t()).argmin(1)


SEARCHES = {"vqgen, blocks": nearest_codes, "whole matrix": whole_matrix}


def measure(search: str, size: tuple[int, int, int], repeats: int) -> dict[str, float]:
    """In this process: extra peak memory of the first search, then the median time of more."""
    torch.manual_seed(0)
    latents, codebook = torch.randn(size[0], size[2]), torch.randn(size[1], size[2])
    SEARCHES[search](latents[:1], codebook[:64])  # libraries load their kernels now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    SEARCHES[search](latents, codebook)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        SEARCHES[search](latents, codebook)
        seconds.append(time.perf_counter() - start)
    return {"milliseconds": statistics.median(seconds) * 1000, "extra_megabytes": (after - before) / 1024}


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| latents | codes | width | search | ms, median | extra memory |", "|---|---|---|---|---|---|"]
    for row in results:
        n, k, d = row["size"]
        cells = (n, k, d, row["search"], f"{row['milliseconds']:.0f}", f"{row['extra_megabytes']:.0f} MB")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size, nothing written")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs=4, metavar=("SEARCH", "N", "K", "D"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        search, n, k, d = options.only
        print(json.dumps(measure(search, (int(n), int(k), int(d)), options.repeats)))
        return
    results: list[dict[str, Any]] = []
    for size in QUICK if options.quick else SIZES:
        for search in SEARCHES:
            command = [sys.executable, __file__, "--repeats", str(options.repeats), "--only", search, *map(str, size)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append({"size": size, "search": search, **json.loads(out)})
    print(table(results))
    if options.quick:
        return
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    (FOLDER / "results").mkdir(exist_ok=True)
    (FOLDER / "results" / "nearest.json").write_text(
        json.dumps({"machine": machine, "results": results}, indent=2) + "\n"
    )
    readme = FOLDER / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
