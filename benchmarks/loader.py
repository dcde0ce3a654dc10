"""Images per second of the data module alone, beside those of the training step that it feeds.

    python benchmarks/loader.py            # the table in README.md, about a minute
    python benchmarks/loader.py --quick    # a toy size in seconds, to see that it runs; writes nothing

Images are kept in memory as bytes, and mirrored, turned and shifted at random a batch at a time, in the process that
trains. The step is that of the quick start's tokenizer, the fastest there is here, with the quick start's optimizer and
without the checks and logs of a Trainer: what the loader takes of it is the most that it takes of any.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from recording import README, conditions, write_region, write_results
from torch import Tensor

from vqgen.data import SyntheticImages
from vqgen.data.image_data import ImageDataModule
from vqgen.losses import ReconstructionLoss
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.runtime import prepared_runtime
from vqgen.tokenizer import Decoder, Encoder, Tokenizer
from vqgen.training import MuonAdamW, Optimization

IMAGES = 2048


def loaded(side: int, batch_size: int, images: int) -> Iterator[Tensor]:
    """Endless batches of changed images."""
    data = ImageDataModule(SyntheticImages(images, side), batch_size=batch_size, flip=True, turn=True, shift=4)
    loader = data.train_dataloader()
    while True:
        yield from (batch.images for batch in loader)  # an epoch


class Step:
    """A training step of the quick start's tokenizer."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        body: dict[str, Any] = {"channels": 48, "multipliers": (1, 2), "patch": 4, "blocks": 1, "attention_at": ()}
        body["latent_channels"] = 128
        quantizer = EMAVectorQuantizer(codebook_size=2048, dim=32, commitment=1.0)
        tokenizer = Tokenizer(Encoder(**body), Decoder(**body), quantizer)
        self.tokenizer = tokenizer.to(memory_format=torch.channels_last).train()
        self.loss = ReconstructionLoss(l1=2.0, l2=8.0)
        groups = Optimization(optimizer="muon").parameter_groups(self.tokenizer, [])
        self.optimizer = MuonAdamW(groups, lr=1e-3, newton_schulz_steps=3)

    def __call__(self, images: Tensor) -> None:
        images = images.contiguous(memory_format=torch.channels_last)
        result = self.tokenizer(images)
        torch.autograd.backward(self.loss(result.images, images) + result.quantizer_loss)
        torch.nn.utils.clip_grad_norm_(self.tokenizer.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def measure(side: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of loading and of learning, batch by batch in turns; the first of each does not count."""
    batches, step = loaded(side, options.batch_size, options.images), Step()
    seconds: dict[str, list[float]] = {"load": [], "step": []}
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        images = list(itertools.islice(batches, options.batches))
        between = time.perf_counter()
        for batch in images:
            step(batch)
        seconds["load"].append(between - start)
        seconds["step"].append(time.perf_counter() - between)
    count = options.batches * options.batch_size
    rates = {name: count / statistics.median(found[1:]) for name, found in seconds.items()}
    return {"side": side, "batch_size": options.batch_size, "images_per_second": rates, "seconds": seconds}


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| images | batch | loaded/s | trained on/s | share of the time that is loading |",
        "|---|---|---|---|---|",
    ]
    for row in results:
        load, step = row["images_per_second"]["load"], row["images_per_second"]["step"]
        cells = [f"{row['side']} x {row['side']}", str(row["batch_size"]), f"{load:.0f}", f"{step:.1f}"]
        lines.append(f"| {' | '.join([*cells, f'{1 / load / (1 / load + 1 / step):.1%}'])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=10, help="in a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=IMAGES, help="in memory")
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    options = parser.parse_args()
    if options.quick:
        options.sides, options.batch_size, options.batches, options.repeats, options.images = [16], 2, 2, 1, 8
    with prepared_runtime():
        results = [measure(side, options) for side in options.sides]
    note = (
        f"{conditions()}; medians of {options.repeats} repeats of {options.batches} batches; the loader in the process "
        "that trains, without workers."
    )
    print(f"{note}\n\n{table(results)}")
    if not options.quick:
        write_results("loader", {"conditions": note, "results": results})
        write_region(README, "loader", f"{note}\n\n{table(results)}")


if __name__ == "__main__":
    main()
