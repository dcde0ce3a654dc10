"""VQGAN against its peers: encoding, decoding, peak memory, and the search for the nearest code.

    python benchmarks/tokenizer.py            # the tables in README.md, about 20 minutes on two idle cores
    python benchmarks/tokenizer.py --quick    # a toy size in half a minute, to see that it runs; writes nothing
    python benchmarks/tokenizer.py --compile  # also torch.compile, which takes minutes more to warm up

All have one configuration: base width 128, multipliers 1 1 2 2 4, attention at the lowest resolution, 256 x 256 pixels,
16 x 16 codes out of 16,384 of width 256, random weights; vqgen's are taming-transformers' weights, carried over. The
contestants take turns within one process, so that a change in the machine's speed meets them all: first each as it
comes, then all with freed memory kept (`vqgen.runtime`). Peak memory is that of a process of its own.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nearest
import torch
from sampling import commit, own_peak_megabytes, processor
from torch import Tensor, nn

from vqgen.interop import from_diffusers, from_taming
from vqgen.quantizers import nearest_codes
from vqgen.runtime import prepared_runtime
from vqgen.tokenizer import Tokenizer

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- tokenizer: begin -->", "<!-- tokenizer: end -->"
PEERS = ("taming-transformers", "diffusers")
ALLOCATORS = ("as it comes", "freed memory kept")
DIRECTIONS = ("encode", "decode")
PARTS = ("search", "memory")


@dataclass(frozen=True)
class Size:
    """What all contestants share."""

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    side: int = 256
    codes: int = 16_384
    dim: int = 256
    searched: int = 1024
    narrow: int = 8

    @property
    def cells(self) -> int:
        return self.side // 2 ** (len(self.multipliers) - 1)


QUICK = Size(channels=32, multipliers=(1, 2), side=32, codes=64, dim=32, searched=64)


@dataclass(frozen=True)
class Codec:
    """One contestant: images (b, 3, H, W) in [-1, 1] to codes (b, h, w), and back."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


class Taming(nn.Module):
    """The parts of taming-transformers' `VQModel`, which itself needs an old Lightning, under its names."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        layers = importlib.import_module("taming.modules.diffusionmodules.model")
        quantize = importlib.import_module("taming.modules.vqvae.quantize")
        shape: dict[str, Any] = {
            "ch": size.channels,
            "out_ch": 3,
            "ch_mult": size.multipliers,
            "num_res_blocks": 2,
            "attn_resolutions": [size.cells],
            "in_channels": 3,
            "resolution": size.side,
            "z_channels": size.dim,
            "double_z": False,
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its shapes
            self.encoder, self.decoder = layers.Encoder(**shape), layers.Decoder(**shape)
        self.quantize = quantize.VectorQuantizer2(size.codes, size.dim, beta=0.25, sane_index_shape=True)
        self.quant_conv = nn.Conv2d(size.dim, size.dim, 1)
        self.post_quant_conv = nn.Conv2d(size.dim, size.dim, 1)

    def encode(self, images: Tensor) -> Tensor:
        *_, (_, _, codes) = self.quantize(self.quant_conv(self.encoder(images)))
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        b, h, w = codes.shape
        latents = self.quantize.get_codebook_entry(codes.flatten(), (b, h, w, self.quantize.e_dim))
        return self.decoder(self.post_quant_conv(latents))


def weights(size: Size) -> dict[str, Tensor]:
    """Random weights in taming's names, with codes spread as the latents are: no code is everyone's nearest."""
    torch.manual_seed(0)
    model = Taming(size).eval()
    with torch.inference_mode():
        latents = model.quant_conv(model.encoder(pictures(size, 2)))  # (b, d, h, w)
        rows = latents.movedim(1, -1).reshape(-1, size.dim)
        drawn = torch.randn(size.codes, len(rows)) @ (rows - rows.mean(0)) / len(rows) ** 0.5
        model.quantize.embedding.weight.copy_(rows.mean(0) + drawn)
    return model.state_dict()


def pictures(size: Size, count: int) -> Tensor:
    """Clouds: noise whose strength falls with frequency as in photographs, (b, 3, H, W) in [-1, 1]."""
    generator = torch.Generator().manual_seed(1)
    frequencies = torch.fft.fftfreq(size.side)
    falloff = (frequencies[:, None].square() + frequencies.square()).sqrt().clamp(min=1 / size.side)
    noise = torch.randn(count, 3, size.side, size.side, generator=generator)
    clouds = torch.fft.ifft2(torch.fft.fft2(noise) / falloff).real
    return (clouds / clouds.std() / 2).clamp(-1, 1)


def build_taming(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = Taming(size).eval()
    model.load_state_dict(shared)
    return Codec(model.encode, model.decode)


def diffusers_model(size: Size) -> nn.Module:
    module = importlib.import_module("diffusers")
    last = len(size.multipliers) - 1
    torch.manual_seed(0)
    model: nn.Module = module.VQModel(
        down_block_types=("DownEncoderBlock2D",) * last + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * last,
        block_out_channels=tuple(size.channels * multiplier for multiplier in size.multipliers),
        layers_per_block=2,
        latent_channels=size.dim,
        num_vq_embeddings=size.codes,
        vq_embed_dim=size.dim,
    )
    return model.eval()


def build_diffusers(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model: Any = diffusers_model(size)
    with torch.no_grad():
        model.quantize.embedding.weight.copy_(shared["quantize.embedding.weight"])

    def encode(images: Tensor) -> Tensor:
        *_, (_, _, codes) = model.quantize(model.encode(images).latents)
        return codes.view(len(images), size.cells, size.cells)

    def decode(codes: Tensor) -> Tensor:
        latents = model.quantize.get_codebook_entry(codes.flatten(), (*codes.shape, size.dim))
        return model.decode(latents, force_not_quantize=True).sample

    return Codec(encode, decode)


def build_vqgen(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval()
    return Codec(model.encode, model.decode)


def build_channels_last(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval().to(memory_format=torch.channels_last)
    return Codec(model.encode, model.decode)


def build_bfloat16(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval().to(memory_format=torch.channels_last)
    for part in (model.encoder, model.decoder, model.to_quantizer, model.from_quantizer):
        part.to(torch.bfloat16)  # the codebook stays fp32, and the search with it
    return Codec(lambda images: model.encode(images.bfloat16()), model.decode)


def build_compiled(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval().to(memory_format=torch.channels_last)
    model.encoder.compile()
    model.decoder.compile()
    return Codec(model.encode, model.decode)


CONTESTANTS: dict[str, Callable[[Size, Mapping[str, Tensor]], Codec]] = {
    "vqgen, fp32 (default)": build_vqgen,
    "vqgen, fp32 channels_last": build_channels_last,
    "vqgen, bf16 channels_last": build_bfloat16,
    "vqgen, fp32 channels_last, compiled": build_compiled,
    "taming-transformers, fp32": build_taming,
    "diffusers, fp32": build_diffusers,
}


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


def measure(
    built: Mapping[str, Codec], size: Size, arguments: argparse.Namespace, allocator: str
) -> list[dict[str, Any]]:
    """Images per second of every contestant, in turns."""
    rows = []
    for batch_size in arguments.batch_sizes:
        images = pictures(size, batch_size)
        codes = torch.randint(size.codes, (batch_size, size.cells, size.cells))
        rates: dict[tuple[str, str], list[float]] = {(n, d): [] for n in built for d in DIRECTIONS}
        for repeat in range(arguments.repeats + arguments.warmup):
            for name, codec in built.items():
                for direction, run, given in (("encode", codec.encode, images), ("decode", codec.decode, codes)):
                    start = time.perf_counter()
                    with torch.inference_mode():
                        run(given)
                    if repeat >= arguments.warmup:
                        rates[name, direction].append(batch_size / (time.perf_counter() - start))
        for (name, direction), found in rates.items():
            common = {"contestant": name, "allocator": allocator, "batch_size": batch_size, "direction": direction}
            rows.append({**common, "images_per_second": found, "median": statistics.median(found)})
            print(f"{allocator:18s} batch {batch_size}  {name:36s} {direction} {rows[-1]['median']:8.2f}/s", flush=True)
    return rows


def memory_of(contestant: str, batch_size: int, size: Size) -> dict[str, float]:
    """In this process: peak memory after building, and after encoding and decoding."""
    codec = CONTESTANTS[contestant](size, weights(size))
    built = own_peak_megabytes()
    with torch.inference_mode():
        codec.decode(codec.encode(pictures(size, batch_size)))
    return {"built_megabytes": built, "peak_megabytes": own_peak_megabytes()}


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


def all_distances(latents: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(latents, codebook).argmin(1)


SEARCHES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "vqgen": nearest_codes,
    "taming-transformers' formula": nearest.whole_matrix,
    "diffusers' formula": all_distances,
}


def search_of(name: str, width: int, size: Size) -> float:
    """In this process: megabytes by which the peak rises in the first search."""
    torch.manual_seed(0)
    latents, codebook = torch.randn(size.searched, width), torch.randn(size.codes, width)
    SEARCHES[name](latents[:1], codebook[:64])  # libraries load their kernels now
    before = own_peak_megabytes()
    SEARCHES[name](latents, codebook)
    return own_peak_megabytes() - before


def measure_search(size: Size, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of each search, in turns, and the memory of each in a process of its own."""
    rows = []
    for width in (size.dim, size.narrow):
        torch.manual_seed(0)
        latents, codebook = torch.randn(size.searched, width), torch.randn(size.codes, width)
        seconds: dict[str, list[float]] = {name: [] for name in SEARCHES}
        codes = {}
        for repeat in range(4 * arguments.repeats + arguments.warmup):
            for name, search in SEARCHES.items():
                start = time.perf_counter()
                codes[name] = search(latents, codebook)
                if repeat >= arguments.warmup:
                    seconds[name].append(time.perf_counter() - start)
        for name in SEARCHES:
            command = [sys.executable, __file__, "--search-of", name, "--width", str(width)]
            command += ["--quick"] if arguments.quick else []
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(
                {
                    "search": name,
                    "latents": size.searched,
                    "codes": size.codes,
                    "width": width,
                    "milliseconds": statistics.median(seconds[name]) * 1000,
                    "extra_megabytes": float(output.splitlines()[-1]),
                    "same_codes": (codes[name] == codes["vqgen"]).float().mean().item(),
                }
            )
    return rows


def peer_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def report(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything. The allocator's setting lasts as long as the process, so it comes second."""
    shared = weights(size)
    built = {name: CONTESTANTS[name](size, shared) for name in arguments.contestants}
    found: dict[str, Any] = {"size": asdict(size), "agreement": {}}
    if "taming-transformers, fp32" in built:
        found["agreement"] = agreement(built, size)
    if "diffusers, fp32" in built:
        found["same_codes_as_diffusers"] = diffusers_agreement(size)
    found["speed"] = measure(built, size, arguments, ALLOCATORS[0])
    with prepared_runtime() as settings:
        found["runtime"] = [str(setting) for setting in settings]
        found["speed"] += measure(built, size, arguments, ALLOCATORS[1])
        found["search"] = measure_search(size, arguments) if "search" in arguments.parts else []
    found["memory"] = peak_memory(arguments) if "memory" in arguments.parts else []
    peers = {name: peer_version(name) for name in ("taming-transformers-rom1504", "diffusers")}
    return {
        **found,
        "processor": processor(),
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
        "| | memory | batch | encode | decode | against the fastest peer | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    rates = {(r["contestant"], r["allocator"], r["batch_size"], r["direction"]): r["median"] for r in measured["speed"]}
    memory = {(row["contestant"], row["batch_size"]): row["peak_megabytes"] for row in measured["memory"]}
    for contestant, allocator, batch_size, direction in rates:
        if direction == DIRECTIONS[1]:
            continue
        own = [rates[contestant, allocator, batch_size, each] for each in DIRECTIONS]
        peers = [
            max(
                (v for (n, a, b, d), v in rates.items() if (a, b, d) == (allocator, batch_size, each) and peer(n)),
                default=0,
            )
            for each in DIRECTIONS
        ]
        times = ", ".join(f"{o / p:.2f}x" for o, p in zip(own, peers, strict=True) if p)
        cells = [contestant, allocator, str(batch_size), *(f"{o:.2f}" for o in own), times]
        peak = memory.get((contestant, batch_size)) if allocator == ALLOCATORS[0] else None
        cells += [f"{peak:.0f} MB" if peak else ""]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| vqgen with taming-transformers' weights | same codes | decoded images |", "|---|---|---|"]
    for name, row in measured["agreement"].items():
        lines.append(f"| {name} | {row['same_codes']:.2%} | {row['decibels']:.0f} dB |")
    lines += ["", "| search | latents | codes | width | ms | extra memory |", "|---|---|---|---|---|---|"]
    for row in measured["search"]:
        cells = [row["search"], *(str(row[key]) for key in ("latents", "codes", "width"))]
        cells += [f"{row['milliseconds']:.1f}", f"{row['extra_megabytes']:.0f} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def peer(contestant: str) -> bool:
    return contestant.startswith(PEERS)


def write(measured: dict[str, Any]) -> None:
    (FOLDER / "results").mkdir(exist_ok=True)
    (FOLDER / "results" / "tokenizer.json").write_text(json.dumps(measured, indent=2) + "\n")
    readme = FOLDER / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{table(measured)}\n{END}{rest.split(END)[1]}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2, help="rounds that do not count")
    parser.add_argument("--threads", type=int, help="torch's own choice when left out")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    parser.add_argument(
        "--parts", nargs="*", choices=PARTS, default=PARTS, help="besides the speed; each takes processes"
    )
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    parser.add_argument("--memory-of", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--search-of", choices=SEARCHES, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
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
    if arguments.search_of:
        print(search_of(arguments.search_of, arguments.width, size))
        return
    measured = report(size, arguments)
    print(table(measured))
    if not arguments.quick:
        write(measured)


if __name__ == "__main__":
    main()
