"""Tokens per second: vqgen's prior against GPT-2 of `transformers`, both of one depth, width, vocabulary and length.

    python benchmarks/sampling.py            # the table in README.md, about 20 minutes on two idle cores
    python benchmarks/sampling.py --size B   # 12 layers of 768 in place of 512, a table of its own
    python benchmarks/sampling.py --size B --device cuda --batch-sizes 1 8 32 128 256    # and one of a GPU
    python benchmarks/sampling.py --quick    # a toy size in seconds, to see that it runs; writes nothing

The contestants take turns within one process, so that a change in the machine's speed meets them all. Peak memory is
that of a process of its own. The bound is what reading the weights and the cache once per step would allow at the
rate at which as much memory is summed here.
"""

import argparse
import importlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from limits import synchronise
from recording import README, commit, own_peak_megabytes, version_of, write_region, write_results

from vqgen.prior import Prior
from vqgen.runtime import processor_name
from vqgen.sampling import compile_for_sampling, group_sizes, in_precision, sample_groups
from vqgen.sampling.compiled import OPTIONS, PRODUCTS


@dataclass(frozen=True)
class Size:
    """What all contestants share."""

    depth: int = 12
    dim: int = 512
    heads: int = 8
    vocabulary: int = 1024
    height: int = 16
    width: int = 16

    @property
    def steps(self) -> int:
        return self.height * self.width


SIZES = {"S": Size(), "B": Size(dim=768, heads=12)}
QUICK = Size(depth=2, dim=32, heads=2, vocabulary=64, height=2, width=4)

Draw = Callable[[int], None]
"""Draws one batch of that many sequences."""


def build_vqgen(
    size: Size, device: str, *, style: str, precision: str = "fp32", compiled: bool = False, part: int = 1
) -> tuple[torch.nn.Module, Draw]:
    """A prior that draws in a part of the steps; of one that is drawn from one by one, 1."""
    torch.manual_seed(0)
    prior = Prior(
        size.vocabulary, size.height, size.width, dim=size.dim, depth=size.depth, heads=size.heads, style=style
    )
    torch.nn.init.normal_(prior.head.weight, std=0.02)  # as built, it is all zeros
    prior = in_precision(prior.to(device), precision)
    prior = compile_for_sampling(prior) if compiled else prior
    positions, groups = torch.arange(size.steps), group_sizes(size.steps, steps=size.steps // part, schedule="linear")

    def draw(batch_size: int) -> None:
        sequence = sample_groups(prior, positions, groups=groups, batch_size=batch_size)
        assert sequence.shape == (batch_size, size.steps)

    return prior, draw


def build_gpt2(
    size: Size, device: str, *, cache: str, compiled: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[torch.nn.Module, Draw]:
    transformers = importlib.import_module("transformers")  # of the extra `bench`, and slow to import
    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=size.vocabulary,
        n_positions=size.steps + 1,
        n_embd=size.dim,
        n_layer=size.depth,
        n_head=size.heads,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    model = transformers.GPT2LMHeadModel(config).eval().to(device, dtype)
    compilation = (
        transformers.CompileConfig(fullgraph=False, mode=None, options=OPTIONS | PRODUCTS) if compiled else None
    )
    if compilation is not None:
        compilation._compile_all_devices = True  # transformers compiles on GPUs alone unless told so

    def draw(batch_size: int) -> None:
        with torch.inference_mode():
            sequence = model.generate(
                torch.zeros(batch_size, 1, dtype=torch.int64, device=device),
                attention_mask=torch.ones(batch_size, 1, dtype=torch.int64, device=device),
                do_sample=True,
                top_k=0,  # no filter, as vqgen's default
                max_new_tokens=size.steps,
                min_new_tokens=size.steps,
                cache_implementation=cache,
                compile_config=compilation,
            )
        assert sequence.shape == (batch_size, size.steps + 1)

    return model, draw


STATIC = "transformers GPT-2, static cache"


@dataclass(frozen=True)
class Contestant:
    """Who draws, and what bounds it: the bytes of a weight, and the codes that a pass draws."""

    build: Callable[[Size, str], tuple[torch.nn.Module, Draw]]
    weight_bytes: int = 4
    codes_a_pass: int = 1


def ours(style: str, *, precision: str = "fp32", compiled: bool = False, part: int = 1) -> Contestant:
    build = partial(build_vqgen, style=style, precision=precision, compiled=compiled, part=part)
    return Contestant(build, {"fp32": 4, "bf16": 2, "int8": 1}[precision], part)


CONTESTANTS = {
    "vqgen, gpt style": ours("gpt"),
    "vqgen, llama style": ours("llama"),
    "vqgen, gpt style, compiled": ours("gpt", compiled=True),
    "vqgen, llama style, compiled": ours("llama", compiled=True),
    "vqgen, gpt style, int8": ours("gpt", precision="int8"),
    "vqgen, llama style, int8": ours("llama", precision="int8"),
    "vqgen, llama style, bf16": ours("llama", precision="bf16"),
    "vqgen, llama style, n / 4 steps": ours("llama", part=4),
    "vqgen, gpt style, int8, compiled": ours("gpt", precision="int8", compiled=True),
    "vqgen, llama style, int8, compiled": ours("llama", precision="int8", compiled=True),
    "vqgen, llama style, n / 4 steps, int8": ours("llama", precision="int8", part=4),
    "vqgen, llama style, n / 4 steps, int8, compiled": ours("llama", precision="int8", part=4, compiled=True),
    STATIC: Contestant(partial(build_gpt2, cache="static")),
    "transformers GPT-2, dynamic cache": Contestant(partial(build_gpt2, cache="dynamic")),
    "transformers GPT-2, static cache, bf16": Contestant(
        partial(build_gpt2, cache="static", dtype=torch.bfloat16), weight_bytes=2
    ),
    "transformers GPT-2, static cache, compiled": Contestant(partial(build_gpt2, cache="static", compiled=True)),
}

ON_GPU = {
    "vqgen, gpt style": ours("gpt"),
    "vqgen, llama style": ours("llama"),
    "vqgen, gpt style, bf16": ours("gpt", precision="bf16"),
    "vqgen, llama style, bf16": ours("llama", precision="bf16"),
    "vqgen, llama style, bf16, compiled": ours("llama", precision="bf16", compiled=True),
    "vqgen, llama style, n / 4 steps, bf16": ours("llama", precision="bf16", part=4),
    STATIC: CONTESTANTS[STATIC],  # transformers compiles it by itself there
    "transformers GPT-2, static cache, bf16": CONTESTANTS["transformers GPT-2, static cache, bf16"],
}
"""Contestants where there is a GPU: without 8 bits, for which there are kernels for the CPU alone."""


@dataclass(frozen=True)
class Result:
    """One contestant at one batch size."""

    contestant: str
    batch_size: int
    first_draw_seconds: float
    tokens_per_second: list[float]
    peak_megabytes: float
    parameters: int

    @property
    def median(self) -> float:
        return statistics.median(self.tokens_per_second)


def read_bandwidth(megabytes: int, device: str = "cpu", repeats: int = 9) -> float:
    """Bytes per second at which this machine sums a tensor of that size again and again; the best of several tries."""
    tensor = torch.ones(megabytes * 2**18, device=device)
    tensor.sum()
    seconds = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        tensor.sum()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return tensor.nbytes / min(seconds)


def bound(size: Size, result: Result, bandwidth: float) -> float:
    """Tokens per second if each pass read the weights once, and each sequence's cache, and did nothing else."""
    contestant = (CONTESTANTS | ON_GPU)[result.contestant]
    # Of the code embedding a step reads a row. Keys and values are fp32 beside 8-bit weights.
    weights = contestant.weight_bytes * (result.parameters - size.vocabulary * size.dim)
    cache_bytes = 2 if contestant.weight_bytes == 2 else 4
    cache = cache_bytes * 2 * size.depth * size.dim * (size.steps + 1) / 2  # on average half full
    drawn = result.batch_size * contestant.codes_a_pass
    return drawn * bandwidth / (weights + result.batch_size * cache)


def peak_megabytes(contestant: str, batch_size: int, arguments: argparse.Namespace) -> float:
    """Peak memory of a fresh process that builds the contestant and draws one batch: the GPU's, or its resident one."""
    command = [sys.executable, __file__, "--memory-of", contestant, "--batch-sizes", str(batch_size)]
    command += ["--device", arguments.device]
    command += ["--quick"] if arguments.quick else ["--size", arguments.size]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.splitlines()[-1])


def contestants(arguments: argparse.Namespace) -> dict[str, Contestant]:
    return CONTESTANTS if arguments.device == "cpu" else ON_GPU


def measure(size: Size, arguments: argparse.Namespace) -> list[Result]:
    built = {name: contestants(arguments)[name].build(size, arguments.device) for name in arguments.contestants}
    results = []
    for batch_size in arguments.batch_sizes:
        rates: dict[str, list[float]] = {name: [] for name in built}
        first: dict[str, float] = {}
        for repeat in range(arguments.repeats + 1):  # the first round warms up and does not count
            for name, (_, draw) in built.items():
                start = time.perf_counter()
                draw(batch_size)
                synchronise(arguments.device)
                seconds = time.perf_counter() - start
                if repeat == 0:
                    first[name] = seconds
                else:
                    rates[name].append(batch_size * size.steps / seconds)
        for name, (model, _) in built.items():
            parameters = sum(parameter.numel() for parameter in model.parameters())
            memory = peak_megabytes(name, batch_size, arguments)
            results.append(Result(name, batch_size, first[name], rates[name], memory, parameters))
            print(f"batch {batch_size}  {name:36s} {results[-1].median:8.1f} tokens/s", flush=True)
    return results


def report(size: Size, results: list[Result], bandwidth: float, arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "size": asdict(size),
        "results": [
            {
                **asdict(result),
                "median_tokens_per_second": result.median,
                "bound_tokens_per_second": bound(size, result, bandwidth),
            }
            for result in results
        ],
        "read_bandwidth_gigabytes_per_second": bandwidth / 1e9,
        "processor": processor_name() if arguments.device == "cpu" else torch.cuda.get_device_name(arguments.device),
        "threads": torch.get_num_threads(),
        "repeats": arguments.repeats,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version_of("transformers"),
        },
        "commit": commit(),
    }


def table(measured: dict[str, Any]) -> str:
    """The report as Markdown: rates with their range, and each contestant against GPT-2 with its static cache."""
    size, versions = measured["size"], measured["versions"]
    bandwidth = measured["read_bandwidth_gigabytes_per_second"]
    lines = [
        f"{size['depth']} layers of {size['dim']}, vocabulary {size['vocabulary']}, {size['height'] * size['width']} "
        f"tokens, fp32 where not said otherwise. {measured['processor']}, {measured['threads']} threads, "
        f"reading {bandwidth:.0f} GB/s. Python {versions['python']}, torch {versions['torch']}, "
        f"transformers {versions['transformers']}; "
        f"commit {measured['commit']}; medians of {measured['repeats']} interleaved repeats.",
        "",
        "| | batch | tokens/s, median (range) | against static GPT-2 | of the bound | first draw | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in measured["results"]:
        peers = [
            other["median_tokens_per_second"]
            for other in measured["results"]
            if other["batch_size"] == row["batch_size"] and other["contestant"] == STATIC
        ]
        median, rates = row["median_tokens_per_second"], row["tokens_per_second"]
        cells = [
            row["contestant"],
            str(row["batch_size"]),
            f"{median:.0f} ({min(rates):.0f} to {max(rates):.0f})",
            f"{median / peers[0]:.2f}x" if peers else "",
            f"{median / row['bound_tokens_per_second']:.0%}",
            f"{row['first_draw_seconds']:.0f} s",
            f"{row['peak_megabytes']:.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="S", help="S: 12 layers of 512, B: of 768")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="torch's own choice when left out")
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS | ON_GPU, help="all that fit the device if none"
    )
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    parser.add_argument("--memory-of", choices=CONTESTANTS | ON_GPU, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats = 1
    arguments.contestants = arguments.contestants or list(contestants(arguments))
    return arguments


def main() -> None:
    arguments = parse()
    size = QUICK if arguments.quick else SIZES[arguments.size]
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        contestants(arguments)[arguments.memory_of].build(size, arguments.device)[1](arguments.batch_sizes[0])
        on_gpu = arguments.device != "cpu"
        print(torch.cuda.max_memory_allocated() / 2**20 if on_gpu else own_peak_megabytes())
        return
    results = measure(size, arguments)
    # As large as the weights, which some processors' caches hold.
    bandwidth = read_bandwidth(megabytes=max(1, results[0].parameters * 4 // 2**20), device=arguments.device)
    measured = report(size, results, bandwidth, arguments)
    print(table(measured))
    if not arguments.quick:
        name = "sampling" if arguments.size == "S" else f"sampling-{arguments.size}"
        name += "" if arguments.device == "cpu" else "-" + arguments.device.partition(":")[0]
        write_results(name, measured)
        write_region(README, name, table(measured))


if __name__ == "__main__":
    main()
