"""Measuring a trained prior: likelihood by image, step and cell, and the quality of samples."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from vqgen.compare.plan import Plan, QualityPlan
from vqgen.data import CodeGrids, to_bytes, to_unit_range
from vqgen.evaluation import Reference
from vqgen.evaluation.reference import chosen
from vqgen.metrics import feature_extractor, likelihood, metric_name, set_distance
from vqgen.orders import OrderPolicy
from vqgen.pipeline import Pipeline
from vqgen.prior import Prior

LIKELIHOOD_BATCH = 64


@dataclass(frozen=True)
class MeasuredLikelihood:
    """Negative log-likelihood of held-out codes, in nats.

    Attributes:
        images: (m,) mean per code of each image.
        steps: (n,) mean over the images at each step of the sequence.
        cells: (n,) mean over the images of each cell, in raster order.
    """

    images: Float64[Tensor, " m"]
    steps: Float64[Tensor, " n"]
    cells: Float64[Tensor, " n"]

    @property
    def nats_per_code(self) -> float:
        """Mean over everything."""
        return self.images.mean().item()


def measure_likelihood(
    prior: Prior, policy: OrderPolicy, grids: CodeGrids, *, count: int | None = None
) -> MeasuredLikelihood:
    """Score held-out codes exactly, in the orders of a policy.

    Args:
        prior: the trained prior.
        policy: the orders; random ones are drawn once and for all.
        grids: held-out codes.
        count: how many images, drawn once and for all; None takes all.

    Returns:
        The likelihood, as means by image, step and cell.
    """
    indices = held_out(grids, count)
    device = prior.code_embedding.weight.device
    images, by_step, by_cell = [], [], []
    for start in range(0, len(indices), LIKELIHOOD_BATCH):
        codes, labels = grids.batch(indices[start : start + LIKELIHOOD_BATCH])
        positions = policy.positions(len(codes), torch.Generator().manual_seed(start))
        found = likelihood(
            prior,
            codes.flatten(1).gather(1, positions).to(device),
            positions.to(device),
            labels.to(device) if prior.num_classes else None,
            downsampling=1,
        )
        cells = found.nats.flatten(1).cpu()
        images.append(cells.mean(1))
        by_cell.append(cells.sum(0))
        by_step.append(cells.gather(1, positions).sum(0))
    return MeasuredLikelihood(
        torch.cat(images), torch.stack(by_step).sum(0) / len(indices), torch.stack(by_cell).sum(0) / len(indices)
    )


@dataclass(frozen=True)
class MeasuredSamples:
    """Images drawn from a prior, and how far they are from held-out ones.

    Attributes:
        images: (m, c, H, W) in [-1, 1].
        images_per_second: drawn and decoded.
        figures: FID and KID under the network's name; empty without a network.
        conditions: reference, network and sampling.
    """

    images: Tensor
    images_per_second: float
    figures: dict[str, float]
    conditions: dict[str, Any]


def measure_samples(pipeline: Pipeline, plan: Plan, grids: CodeGrids) -> MeasuredSamples:
    """Draw images with the labels of held-out ones, and compare the two sets.

    Args:
        pipeline: tokenizer, trained prior and its order.
        plan: says how many, how, and through which network.
        grids: held-out codes, for the labels.

    Returns:
        Images, speed and figures.
    """
    quality = plan.quality
    indices = held_out(grids, quality.images if quality.extractor is not None else max(2, quality.shown))
    labels = grids.labels[torch.as_tensor(indices)] if pipeline.prior.num_classes else None
    start = time.perf_counter()
    images = pipeline.generate(
        len(indices),
        labels,
        temperature=quality.temperature,
        top_k=quality.top_k,
        top_p=quality.top_p,
        guidance=quality.guidance,
        seed=quality.seed,
        batch_size=quality.batch_size,
    )
    speed = len(images) / (time.perf_counter() - start)
    if quality.extractor is None:
        return MeasuredSamples(images, speed, {}, {"count": len(images)})
    figures, conditions = _distance(images, plan, quality, quality.extractor, indices, pipeline.device)
    return MeasuredSamples(images, speed, figures, {**conditions, "sampling": sampling_of(quality)})


def _distance(
    images: Tensor, plan: Plan, quality: QualityPlan, extractor: str, indices: list[int], device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    network = feature_extractor(extractor).to(device).to(memory_format=torch.channels_last)
    name = metric_name(network)
    reference = Reference(plan.source, "validation", indices, network)

    def features(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(batch.to(device)).float().cpu()

    originals = reference.read()
    if originals is None:
        dataset = plan.source.split("validation")
        blocks = [indices[at : at + 32] for at in range(0, len(indices), 32)]
        originals = reference.write(torch.cat([features(dataset.batch(block).images) for block in blocks]))
    # As they would be written to a file: in 8 bits.
    drawn = torch.cat([features(to_unit_range(to_bytes(block))) for block in torch.split(images, 32)])
    distance = set_distance(originals, drawn, seed=quality.seed)
    figures = {f"fid_{name}": distance.fid, f"kid_{name}": distance.kid}
    return figures, {"reference": {**reference.description, "key": reference.key}, "count": len(images)}


def sampling_of(quality: QualityPlan) -> dict[str, Any]:
    """How samples are drawn, in plain values."""
    return {name: getattr(quality, name) for name in ("temperature", "top_k", "top_p", "guidance", "seed")}


def held_out(grids: CodeGrids, count: int | None) -> list[int]:
    """The same images for every run: all, or `count` of them."""
    return chosen(len(grids), None if count is None else min(count, len(grids)), seed=0)
