"""What less precision costs in likelihood: a trained prior in fp32, bf16 and int8 on the same held-out images.

    python benchmarks/precision.py runs/quickstart   # a minute; the table in vqgen/sampling/README.md

The folder is a pipeline that was trained on OpenMoji, as `vqgen quickstart` and `vqgen fit` write it. Measured: nats
per code of held-out images, the largest change of one image, and the share of images drawn with the same seeds that
come out the same in every code.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from recording import ROOT, conditions, write_region, write_results

from vqgen import Pipeline
from vqgen.data import OpenMoji
from vqgen.sampling import PRECISIONS

README = ROOT / "vqgen" / "sampling" / "README.md"


def measure(pipeline: Pipeline, images: torch.Tensor, labels: torch.Tensor, drawn: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    sequences: dict[str, torch.Tensor] = {}
    for precision in PRECISIONS:
        lighter = pipeline.in_precision(precision)
        nats = lighter.log_likelihood(images, labels).nats.flatten(1).mean(dim=1)
        sequences[precision] = lighter.generate_codes(drawn, seed=0)
        same = (sequences[precision] == sequences["fp32"]).flatten(1)
        rows.append({"precision": precision, "nats": nats, "same": float(same.all(1).float().mean())})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| precision | nats per code | change | largest of an image | same images |", "|---|---|---|---|---|"]
    exact = rows[0]["nats"]
    for row in rows:
        nats = row["nats"]
        change, largest = float(nats.mean() / exact.mean() - 1), float((nats / exact - 1).abs().max())
        lines.append(
            f"| {row['precision']} | {float(nats.mean()):.4f} | {change:+.3%} | {largest:.3%} | {row['same']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drawn", type=int, default=64, help="images drawn in each precision (default: %(default)s)")
    options = parser.parse_args()
    pipeline = Pipeline.from_pretrained(options.folder)
    side = pipeline.image_size[0]
    dataset = OpenMoji(side).split("validation")
    batch = dataset.batch(range(len(dataset)))
    rows = measure(pipeline, batch.images, batch.labels, options.drawn)
    prior = pipeline.prior
    note = (
        f"{prior.depth} layers of {prior.dim} trained on {side} x {side} images, {len(batch.images)} held out, "
        f"{options.drawn} drawn; {conditions()}."
    )
    text = f"{table(rows)}\n\n{note}"
    print(text)
    figures = [{**row, "nats": row["nats"].tolist()} for row in rows]
    write_results("precision", {"conditions": note, "results": figures})
    write_region(README, "precision", text)


if __name__ == "__main__":
    main()
