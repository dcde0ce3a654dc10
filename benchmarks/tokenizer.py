"""VQGAN against its peers: encoding, decoding and peak memory.

    python benchmarks/tokenizer.py            # the tables in README.md, about 20 minutes on two idle cores
    python benchmarks/tokenizer.py --quick    # a toy size in half a minute, to see that it runs; writes nothing
    python benchmarks/tokenizer.py --compile  # also torch.compile, which takes minutes more to warm up

All have one configuration: base width 128, multipliers 1 1 2 2 4, attention at the lowest resolution, 256 x 256 pixels,
16 x 16 codes out of 16,384 of width 256, random weights; vqgen's are taming-transformers' weights, carried over. Every
contestant has two processes of its own: one as Python leaves it, and one with freed memory kept, as vqgen's commands
and scripts have it (`vqgen.runtime`). All of them take turns, so that a change in the machine's speed meets them all.
"""

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from limits import product_rate
from readings import precision_of
from recording import README, commit, forget_peak, own_peak_megabytes, version_of, write_region, write_results
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from vqgan_contestants import CONTESTANTS, QUICK, Codec, Size, Taming, diffusers_model, pictures, weights

from vqgen.interop import from_diffusers
from vqgen.runtime import prepared_runtime, processor_name
from vqgen.tokenizer import Tokenizer

PEERS = ("taming-transformers", "diffusers")
ALLOCATORS = ("as it comes", "freed memory kept")
DIRECTIONS = ("encode", "decode")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
FEWEST = {"fp32": "winograd", "bf16": "direct"}
"""How the fewest products are had: Winograd's transforms cost bf16 more accuracy than it has."""


def agreement(built: Mapping[str, Codec], size: Size) -> dict[str, dict[str, float]]:
    """Of vqgen's contestants: share of codes that are taming's, and dB between the images that both decode."""
    images = pictures(size, 4)
    reference = built["taming-transformers, fp32"]
    with torch.inference_mode():
        codes = reference.encode(images)
        decoded = reference.decode(codes).clamp(-1, 1)
        found = {}
        for name, codec in built.items():
            if name.startswith("vqgen"):
                error = (codec.decode(codes).float() - decoded).square().mean().clamp(min=1e-12)
                same = (codec.encode(images) == codes).float().mean()
                found[name] = {"same_codes": same.item(), "decibels": (10 * (4 / error).log10()).item()}
    return found


def diffusers_agreement(size: Size) -> float:
    """Share of equal codes of diffusers' model and of vqgen with its weights."""
    model: Any = diffusers_model(size)
    ours: Tokenizer = from_diffusers(model.state_dict()).eval()
    images = pictures(size, 1)
    with torch.inference_mode():
        *_, (_, _, codes) = model.quantize(model.encode(images).latents)
        return (ours.encode(images).flatten() == codes.flatten()).float().mean().item()


class Worker:
    """A contestant in a process of its own, which encodes and decodes when told to.

    Args:
        contestant: a key of CONTESTANTS.
        allocator: one of ALLOCATORS.
        arguments: of the program.
    """

    def __init__(self, contestant: str, allocator: str, arguments: argparse.Namespace) -> None:
        self.contestant, self.allocator = contestant, allocator
        command = [sys.executable, __file__, "--serve", contestant, "--allocator", allocator]
        command += ["--quick"] if arguments.quick else []
        command += ["--threads", str(arguments.threads)] if arguments.threads else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, direction: str, batch_size: int) -> float:
        """Encode or decode one batch; gives the seconds it took there."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(direction, batch_size, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def stop(self) -> None:
        """Let the process end."""
        self.process.communicate()


def serve(contestant: str, allocator: str, size: Size) -> None:
    """In this process: answer every line ``encode 4`` or ``decode 4`` with the seconds that took."""
    with prepared_runtime() if allocator == ALLOCATORS[1] else contextlib.nullcontext():
        codec = CONTESTANTS[contestant](size, weights(size))
        for line in sys.stdin:
            direction, batch_size = line.split()
            given = pictures(size, int(batch_size))
            if direction == DIRECTIONS[1]:
                generator = torch.Generator().manual_seed(2)
                shape = (len(given), size.cells, size.cells)
                given = torch.randint(size.codes, shape, generator=generator)
            run = codec.encode if direction == DIRECTIONS[0] else codec.decode
            start = time.perf_counter()
            with torch.inference_mode():
                run(given)
            print(time.perf_counter() - start, flush=True)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Images per second of every contestant, under both allocators, in turns."""
    rows = []
    workers = [Worker(name, allocator, arguments) for allocator in ALLOCATORS for name in arguments.contestants]
    try:
        for batch_size in arguments.batch_sizes:
            rates: dict[tuple[Worker, str], list[float]] = {(w, d): [] for w in workers for d in DIRECTIONS}
            for repeat in range(arguments.repeats + arguments.warmup):
                for worker in workers:
                    for direction in DIRECTIONS:
                        seconds = worker.seconds(direction, batch_size)
                        if repeat >= arguments.warmup:
                            rates[worker, direction].append(batch_size / seconds)
            for (worker, direction), found in rates.items():
                common = {"contestant": worker.contestant, "allocator": worker.allocator, "batch_size": batch_size}
                rows.append({**common, "direction": direction, "images_per_second": found})
                rows[-1]["median"] = statistics.median(found)
                print(*list(rows[-1].values())[:4], f"{rows[-1]['median']:.2f}/s", flush=True)
    finally:
        for worker in workers:
            worker.stop()
    return rows


def memory_of(contestant: str, batch_size: int, size: Size) -> dict[str, float]:
    """In this process: peak memory of encoding and decoding, the model, Python and libraries included."""
    codec = CONTESTANTS[contestant](size, weights(size))
    images = pictures(size, batch_size)
    forget_peak()  # making the shared weights takes more than some contestants do
    with torch.inference_mode():
        codec.decode(codec.encode(images))
    return {"peak_megabytes": own_peak_megabytes()}


def peak_memory(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Of a fresh process for each contestant and batch size."""
    rows = []
    for contestant in arguments.contestants:
        for batch_size in arguments.batch_sizes:
            command = [sys.executable, __file__, "--memory-of", contestant, "--batch-sizes", str(batch_size)]
            command += ["--quick"] if arguments.quick else []
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            rows.append({"contestant": contestant, "batch_size": batch_size, **found})
    return rows


def products(size: Size) -> dict[str, dict[str, float]]:
    """Operations of the products in encoding and decoding an image, directly and by Winograd's F(4x4, 3x3).

    The latter takes a quarter of the multiplications where a 3x3 convolution has stride 1; what comes before and after
    them is not counted.
    """
    spared = 0.0

    def note(convolution: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal spared
        assert isinstance(convolution, nn.Conv2d)
        if convolution.kernel_size == (3, 3) and convolution.stride == (1, 1):
            spared += 0.75 * 2 * 9 * convolution.in_channels * out.numel()

    found = {}
    with torch.device("meta"), torch.inference_mode():  # shapes alone, no arithmetic
        model = Taming(size).eval()
        for each in model.modules():
            if isinstance(each, nn.Conv2d):
                each.register_forward_hook(note)
        images = torch.empty(1, 3, size.side, size.side)
        codes = torch.zeros(1, size.cells, size.cells, dtype=torch.int64)
        for direction in DIRECTIONS:
            spared = 0.0
            with FlopCounterMode(display=False) as counter:
                model.encode(images) if direction == DIRECTIONS[0] else model.decode(codes)
            direct = float(counter.get_total_flops())
            found[direction] = {"direct": direct, "winograd": direct - spared}
    return found


def limits(size: Size) -> dict[str, Any]:
    """Images per second by precision and direction, if products alone took time, and what that was worked out from."""
    needed = products(size)
    rates = {name: product_rate(rows=4096, narrow=512, wide=2048, dtype=dtype) for name, dtype in PRECISIONS.items()}
    counted = {name: {each: needed[each][FEWEST[name]] for each in DIRECTIONS} for name in rates}
    return {
        "limit": {name: {each: rate / counted[name][each] for each in DIRECTIONS} for name, rate in rates.items()},
        "products": {"operations_per_second": rates, "operations_per_image": needed},
    }


def report(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    found: dict[str, Any] = {"size": asdict(size), "agreement": {}, "speed": measure(arguments)}
    if "taming-transformers, fp32" in arguments.contestants:
        shared = weights(size)
        found["agreement"] = agreement({n: CONTESTANTS[n](size, shared) for n in arguments.contestants}, size)
    if "diffusers, fp32" in arguments.contestants:
        found["same_codes_as_diffusers"] = diffusers_agreement(size)
    found["memory"] = [] if arguments.no_memory else peak_memory(arguments)
    with prepared_runtime() as settings:
        found["runtime"] = [str(setting) for setting in settings]
        found.update(limits(size))
    peers = {name: version_of(name) for name in ("taming-transformers-rom1504", "diffusers")}
    return {
        **found,
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "repeats": arguments.repeats,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, **peers},
        "commit": commit(),
    }


def table(measured: dict[str, Any]) -> str:
    """The report as Markdown."""
    size, versions = measured["size"], measured["versions"]
    lines = [
        f"{size['side']} x {size['side']} pixels, base width {size['channels']}, multipliers "
        f"{' '.join(map(str, size['multipliers']))}, {size['codes']} codes of width {size['dim']}. "
        f"{measured['processor']}, {measured['threads']} threads. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; commit {measured['commit']}; medians of {measured['repeats']} interleaved repeats, images per second.",
        "",
        "| | memory | batch | encode | decode | fastest peer, same memory | fastest peer as it comes | of the limit "
        "| peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rates = {(r["contestant"], r["allocator"], r["batch_size"], r["direction"]): r["median"] for r in measured["speed"]}
    memory = {(row["contestant"], row["batch_size"]): row["peak_megabytes"] for row in measured["memory"]}
    for contestant, allocator, batch_size, direction in rates:
        if direction == DIRECTIONS[1]:
            continue
        own = [rates[contestant, allocator, batch_size, each] for each in DIRECTIONS]
        cells = [contestant, allocator, str(batch_size), *(f"{rate:.2f}" for rate in own)]
        for against in (allocator, ALLOCATORS[0]):
            peers = [fastest_peer(rates, against, batch_size, each) for each in DIRECTIONS]
            cells.append(", ".join(f"{o / p:.2f}x" for o, p in zip(own, peers, strict=True) if p))
        limit = measured["limit"][precision_of(contestant)]
        cells.append(", ".join(f"{o / limit[each]:.0%}" for o, each in zip(own, DIRECTIONS, strict=True)))
        peak = memory.get((contestant, batch_size)) if allocator == ALLOCATORS[0] else None
        cells += [f"{peak:.0f} MB" if peak else ""]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", limit_in_words(measured["limit"], measured["products"])]
    lines += ["", "| vqgen with taming-transformers' weights | same codes | decoded images |", "|---|---|---|"]
    for name, row in measured["agreement"].items():
        lines.append(f"| {name} | {row['same_codes']:.2%} | {row['decibels']:.0f} dB |")
    return "\n".join(lines)


def limit_in_words(limit: Mapping[str, Mapping[str, float]], counted: Mapping[str, Any]) -> str:
    rates, needed = counted["operations_per_second"], counted["operations_per_image"]
    said = [
        f"{name}, at {rate / 1e9:.0f} GFLOP/s, {' and '.join(f'{each} {limit[name][each]:.1f}' for each in DIRECTIONS)}"
        for name, rate in rates.items()
    ]
    direct = " and ".join(f"{rates['fp32'] / needed[each]['direct']:.1f}" for each in DIRECTIONS)
    return (
        f"The limit, images/s if products alone took time: {'; '.join(said)}. fp32's are by Winograd's convolution "
        f"(without it {direct}), bf16's are direct."
    )


def fastest_peer(
    rates: Mapping[tuple[str, str, int, str], float], allocator: str, batch_size: int, direction: str
) -> float:
    """Images per second of the fastest peer, 0 when none was measured."""
    wanted = (allocator, batch_size, direction)
    return max(
        (rate for (name, *rest), rate in rates.items() if tuple(rest) == wanted and name.startswith(PEERS)), default=0
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2, help="rounds that do not count")
    parser.add_argument("--threads", type=int, help="torch's own choice when left out")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    parser.add_argument("--no-memory", action="store_true", help="leave out the processes that measure it")
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    parser.add_argument("--memory-of", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--allocator", choices=ALLOCATORS, default=ALLOCATORS[0], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestants is None:
        arguments.contestants = [name for name in CONTESTANTS if arguments.compile or not name.endswith("compiled")]
    if arguments.quick:
        arguments.repeats = arguments.warmup = 1
    return arguments


def main() -> None:
    arguments = parse()
    size = QUICK if arguments.quick else Size()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print(json.dumps(memory_of(arguments.memory_of, arguments.batch_sizes[0], size)))
        return
    if arguments.serve:
        serve(arguments.serve, arguments.allocator, size)
        return
    measured = report(size, arguments)
    print(table(measured))
    if not arguments.quick:
        write_results("tokenizer", measured)
        write_region(README, "tokenizer", table(measured))


if __name__ == "__main__":
    main()
