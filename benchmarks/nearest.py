"""Nearest codebook vector: time, extra memory and exactness of the bounded search, and of how its peers search.

    python benchmarks/nearest.py            # the table in README.md, about 2 minutes on two idle cores
    python benchmarks/nearest.py --quick    # a toy size, to see that it runs; writes nothing

Four grids of 16 x 16 latents, K = 16,384, of width 256 as VQGAN has them and of width 8, and eight times as many.
taming-transformers makes the whole matrix `||z||^2 + ||e||^2 - 2 z e^T` and takes its argmin, diffusers that of
`torch.cdist`; vector-quantize-pytorch is its `VectorQuantize` in eval mode, whose forward pass also makes a one-hot
matrix and looks the vectors up. All take turns in one process, twice: as Python leaves it, and with freed memory kept,
as vqgen's commands and scripts have it (`vqgen.runtime`). Extra memory is what the peak of a process of its own rises
by in the first search. Exact is the share of latents whose code is the one that float64 finds.
"""

import argparse
import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from recording import README, conditions, forget_peak, own_peak_megabytes, version_of, write_region, write_results
from torch import Tensor

from vqgen.quantizers import nearest_codes
from vqgen.runtime import prepared_runtime

SIZES = ((1024, 16_384, 256), (1024, 16_384, 8), (8192, 16_384, 256))
QUICK = ((64, 128, 8),)
ALLOCATORS = ("as it comes", "freed memory kept")

Search = Callable[[Tensor], Tensor]
"""Latents (n, d) to codes (n,)."""


def whole_matrix(latents: Tensor, codebook: Tensor) -> Tensor:
    squares = latents.square().sum(1, keepdim=True) + codebook.square().sum(1)
    return (squares - 2 * latents @ codebook.t()).argmin(1)


def all_distances(latents: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(latents, codebook).argmin(1)


def build_vector_quantize(codebook: Tensor) -> Search:
    package = importlib.import_module("vector_quantize_pytorch")  # of the extra `bench`
    quantizer = package.VectorQuantize(dim=codebook.shape[1], codebook_size=len(codebook)).eval()
    quantizer._codebook.embed.copy_(codebook[None])
    return lambda latents: quantizer(latents[None])[1][0]


OURS = "vqgen"
SEARCHES: dict[str, Callable[[Tensor], Search]] = {
    OURS: lambda codebook: partial(nearest_codes, codebook=codebook),
    "taming-transformers' formula": lambda codebook: partial(whole_matrix, codebook=codebook),
    "diffusers' formula": lambda codebook: partial(all_distances, codebook=codebook),
    "vector-quantize-pytorch": build_vector_quantize,
}
if find_spec("vector_quantize_pytorch") is None:
    del SEARCHES["vector-quantize-pytorch"]


def made(size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Latents (n, d) and codebook (k, d)."""
    torch.manual_seed(0)
    n, k, d = size
    return torch.randn(n, d), torch.randn(k, d)


def true_codes(latents: Tensor, codebook: Tensor) -> Tensor:
    """What float64 says, a few rows at a time."""
    vectors = codebook.double()
    half = vectors.square().sum(1) / 2
    return torch.cat([(rows.double() @ vectors.t() - half).argmax(1) for rows in torch.split(latents, 256)])


def in_turns(size: tuple[int, int, int], repeats: int) -> dict[str, dict[str, Any]]:
    """In this process: milliseconds of every search, and the share of exact codes."""
    latents, codebook = made(size)
    searches = {name: build(codebook) for name, build in SEARCHES.items()}
    truth = true_codes(latents, codebook)
    found: dict[str, dict[str, Any]] = {
        name: {"exact": (search(latents) == truth).double().mean().item(), "milliseconds": []}
        for name, search in searches.items()
    }
    for _ in range(repeats):
        for name, search in searches.items():
            start = time.perf_counter()
            search(latents)
            found[name]["milliseconds"].append(1e3 * (time.perf_counter() - start))
    return found


def extra_megabytes(name: str, size: tuple[int, int, int]) -> float:
    """In this process: what the peak rises by in the first search."""
    latents, codebook = made(size)
    SEARCHES[name](codebook[:64])(latents[:1])  # libraries load their kernels now
    search = SEARCHES[name](codebook)
    forget_peak()
    before = own_peak_megabytes()
    search(latents)
    return own_peak_megabytes() - before


def in_process(*arguments: str | int) -> Any:
    """What this program says when it is called by itself."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(sizes: tuple[tuple[int, int, int], ...], repeats: int) -> list[dict[str, Any]]:
    rows = []
    for size in sizes:
        timed = {each: in_process("--turns", each, *size, "--repeats", repeats) for each in ALLOCATORS}
        for name in SEARCHES:
            times = {each: found[name]["milliseconds"] for each, found in timed.items()}
            memory = in_process("--memory-of", name, *size)
            exact = timed[ALLOCATORS[0]][name]["exact"]
            rows.append(
                {"size": size, "search": name, "milliseconds": times, "extra_megabytes": memory, "exact": exact}
            )
    return rows


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| latents | codes | width | search | ms, median (range) | with freed memory kept | extra memory | exact |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        times = [row["milliseconds"][each] for each in ALLOCATORS]
        cells = [*map(str, row["size"]), row["search"]]
        cells += [f"{statistics.median(each):.3g} ({min(each):.3g} to {max(each):.3g})" for each in times]
        cells += [f"{row['extra_megabytes']:.0f} MB", f"{row['exact']:.2%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size, nothing written")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--turns", nargs=4, metavar=("ALLOCATOR", "N", "K", "D"), help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", nargs=4, metavar=("SEARCH", "N", "K", "D"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turns or options.memory_of:
        name, n, k, d = options.turns or options.memory_of
        kept = options.turns and name == ALLOCATORS[1]
        size = (int(n), int(k), int(d))
        with prepared_runtime() if kept else contextlib.nullcontext(), torch.inference_mode():
            print(json.dumps(in_turns(size, options.repeats) if options.turns else extra_megabytes(name, size)))
        return
    options.repeats = 2 if options.quick else options.repeats
    results = measure(QUICK if options.quick else SIZES, options.repeats)
    note = (
        f"{conditions()}, vector-quantize-pytorch {version_of('vector-quantize-pytorch')}; medians of "
        f"{options.repeats} interleaved repeats."
    )
    text = f"{table(results)}\n\n{note}"
    print(text)
    if not options.quick:
        write_results("nearest", {"conditions": note, "results": results})
        write_region(README, "nearest", text)


if __name__ == "__main__":
    main()
