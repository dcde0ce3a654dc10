"""Every quantizer in the same small tokenizer, trained on Fashion-MNIST for the same number of steps.

    python benchmarks/quantizers.py            # the table in vqgen/quantizers/README.md, about 12 minutes on 2 cores
    python benchmarks/quantizers.py --quick    # toy size on made images, to see that it runs; writes nothing
    python benchmarks/quantizers.py --only ema fsq --steps 2000    # some of them, longer; writes nothing

Images are 32 x 32 and grey, grids 8 x 8. Body, first weights, batches, optimizer and number of codes (512 a depth) are
the same for all; only the quantizer differs, and the width that it asks for. Measured on held-out images: PSNR, the
share of codes in use and their perplexity, and, where the extra `lite0` is installed, FID and KID between images and
reconstructions in EfficientNet-lite0's features. Time is the median of a whole training step.
"""

import argparse
import json
import math
import os
import platform
import runpy
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqgen.data import ImageDataset, ImageSource, SyntheticImages, TorchvisionImages
from vqgen.losses import ReconstructionLoss
from vqgen.metrics import codebook_use, psnr
from vqgen.quantizers import (
    EMAVectorQuantizer,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    ResidualQuantizer,
    SimVectorQuantizer,
    VectorQuantizer,
)
from vqgen.tokenizer import Decoder, Encoder, Tokenizer

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "quantizers.json"
README = ROOT / "vqgen" / "quantizers" / "README.md"
BEGIN, END = "<!-- quantizers: begin -->", "<!-- quantizers: end -->"

K = 512
QUANTIZERS: dict[str, tuple[str, Callable[[], Quantizer]]] = {
    "vector": ("VQ by gradient, width 32", lambda: VectorQuantizer(K, 32)),
    "ema": ("VQ by moving averages, width 32", lambda: EMAVectorQuantizer(K, 32)),
    "cosine": ("cosine VQ by gradient, width 8", lambda: VectorQuantizer(K, 8, l2_normalise=True)),
    "cosine-ema": ("cosine VQ by moving averages, width 8", lambda: EMAVectorQuantizer(K, 8, l2_normalise=True)),
    "sim": ("SimVQ, width 8", lambda: SimVectorQuantizer(K, 8)),
    "fsq": ("FSQ, levels 8 8 8", lambda: FiniteScalarQuantizer((8, 8, 8))),
    "lfq": ("LFQ, 9 bits", lambda: LookupFreeQuantizer(K)),
    "gumbel": ("Gumbel-softmax", lambda: GumbelQuantizer(K)),
    "residual": ("residual, 2 depths by moving averages", lambda: ResidualQuantizer(EMAVectorQuantizer(K, 32), 2)),
}


def fashion_mnist(folder: Path) -> ImageSource:
    """Fashion-MNIST as Debian ships it, unpacked into a folder."""
    prepare = runpy.run_path(str(ROOT / "scripts" / "prepare_fashion_mnist.py"))
    prepare["unpack"](prepare["INSTALLED"], folder)
    return TorchvisionImages("FashionMNIST", folder, 32, channels=1, labels=False)


def tokenizer_with(quantizer: Callable[[], Quantizer]) -> Tokenizer:
    """The same body with the same first weights, whatever the quantizer."""
    torch.manual_seed(0)
    body: dict[str, Any] = {
        "channels": 32,
        "multipliers": (1, 2),
        "patch": 2,
        "blocks": 1,
        "attention_at": (),
        "latent_channels": 64,
    }
    encoder, decoder = Encoder(in_channels=1, **body), Decoder(out_channels=1, **body)
    return Tokenizer(encoder, decoder, quantizer()).to(memory_format=torch.channels_last)


def train(tokenizer: Tokenizer, images: ImageDataset, *, steps: int, batch_size: int, learning_rate: float) -> float:
    """Train for some steps; returns the median time of one, in seconds."""
    loss_of = ReconstructionLoss(l1=1.0, l2=4.0)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2),
    )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)  # of what a quantizer draws
    tokenizer.train()
    seconds = []
    for step in range(steps):
        at = torch.arange(step * batch_size, (step + 1) * batch_size) % len(images)
        batch = images.batch(order[at].tolist()).images.contiguous(memory_format=torch.channels_last)
        start = time.perf_counter()
        tokenizer.quantizer.set_progress(step / steps)
        result = tokenizer(batch)
        loss = loss_of(result.images, batch) + result.quantizer_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@torch.no_grad()
def reconstruct(tokenizer: Tokenizer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstructions and codes, through the codes alone."""
    tokenizer.eval()
    codes = torch.cat([tokenizer.encode(part) for part in torch.split(images, 250)])
    return torch.cat([tokenizer.decode(part) for part in torch.split(codes, 250)]), codes


def measure(tokenizer: Tokenizer, images: Tensor, features: "Features | None") -> dict[str, float | None]:
    decoded, codes = reconstruct(tokenizer, images)
    metric = psnr()
    metric.update(decoded, images)
    depth = tokenizer.quantizer.depth
    counts = [part.flatten().bincount(minlength=tokenizer.codebook_size) for part in codes.chunk(depth, dim=1)]
    use = [codebook_use(count) for count in counts]
    found: dict[str, float | None] = {
        "bits_per_image": codes[0].numel() * math.log2(tokenizer.codebook_size),
        "psnr": metric.compute().item(),
        "used": statistics.mean(each.share for each in use),
        "perplexity": statistics.mean(each.perplexity for each in use),
        "fid_lite0": None,
        "kid_lite0": None,
    }
    return found if features is None else {**found, **features.distance(decoded)}


class Features:
    """EfficientNet-lite0's features of the held-out images, to compare others with."""

    def __init__(self, images: Tensor) -> None:
        from vqgen.metrics import feature_extractor

        self.network = feature_extractor("lite0").to(memory_format=torch.channels_last)  # a third less time
        self.reference = self.of(images)

    @torch.no_grad()
    def of(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(part.expand(-1, 3, -1, -1)) for part in torch.split(images, 50)])

    def distance(self, images: Tensor) -> dict[str, float]:
        from vqgen.metrics import set_distance

        found = set_distance(self.reference, self.of(images))
        return {"fid_lite0": found.fid, "kid_lite0": found.kid}


def features_of(images: Tensor) -> Features | None:
    try:
        return Features(images)
    except (ImportError, FileNotFoundError) as error:
        print(f"FID and KID are left out: {error}")
        return None


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| quantizer | bits/image | PSNR, dB | FID-lite0 | KID-lite0 x 1000 | codes in use | perplexity | ms/step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        cells = (
            row["title"],
            f"{row['bits_per_image']:.0f}",
            f"{row['psnr']:.2f}",
            "" if row["fid_lite0"] is None else f"{row['fid_lite0']:.2f}",
            "" if row["kid_lite0"] is None else f"{1000 * row['kid_lite0']:.2f}",
            f"{row['used']:.0%}",
            f"{row['perplexity']:.0f}",
            f"{1000 * row['seconds_per_step']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a toy size on made images, nothing written")
    parser.add_argument("--only", nargs="+", choices=list(QUANTIZERS), default=list(QUANTIZERS), metavar="NAME")
    parser.add_argument("--steps", type=int, default=500, help="training steps of each")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--images", type=int, default=1000, help="held-out images to measure on")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder for Fashion-MNIST")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.batch_size, options.images = 4, 8, 8
        source: ImageSource = SyntheticImages(64, 32, channels=1)
    else:
        try:
            source = fashion_mnist(options.data)
        except FileNotFoundError as error:
            raise SystemExit(f"{error}; or try it on made images with --quick") from error
    train_images = source.split("train")
    held_out = source.split("validation").batch(range(options.images)).images
    features = features_of(held_out)

    results = []
    for name in options.only:
        title, quantizer = QUANTIZERS[name]
        tokenizer = tokenizer_with(quantizer)
        seconds = train(
            tokenizer,
            train_images,
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
        )
        results.append(
            {"name": name, "title": title, **measure(tokenizer, held_out, features), "seconds_per_step": seconds}
        )
        print(table(results[-1:]).splitlines()[-1], flush=True)
    note = (
        f"{options.steps} steps of {options.batch_size} images, {options.images} held-out images, one seed, "
        f"commit {commit()}, torch {torch.__version__}, {torch.get_num_threads()} threads ({platform.machine()})."
    )
    print(f"\n{table(results)}\n\n{note}")
    if options.quick or options.only != list(QUANTIZERS):
        return
    settings = {key: value for key, value in vars(options).items() if key not in ("quick", "only", "data")}
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"commit": commit(), "machine": machine, "settings": settings, "results": results}, indent=2) + "\n"
    )
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table(results)}\n\n{note}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
