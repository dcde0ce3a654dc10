"""The plan of a comparison: orders x position signals x seeds, on the codes of one tokenizer, under one budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqgen.compare.labels import contender_label, folder_name, order_label
from vqgen.data import ImageSource
from vqgen.evaluation.reference import plain_arguments
from vqgen.training import Optimization
from vqgen.training.precision import Precision


@dataclass(frozen=True)
class TokenizerPlan:
    """The tokenizer whose codes are modelled, and how to train it where its folder is missing.

    Args:
        folder: of the tokenizer.
        config: of `vqgen fit`, to train it with; None expects the folder to be there.
        steps: to train; None takes the config's.
        minutes: to train, in place of steps.
    """

    folder: str
    config: str | None = None
    steps: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Budget:
    """What every run may spend on training: exactly one of the three.

    Args:
        steps: optimizer steps.
        tokens: codes seen, rounded up to whole batches.
        seconds: of training on the clock; a fair measure only while nothing else runs on the machine.

    Example:
        >>> Budget(tokens=10_000).steps_of(batch_size=16, cells=64)
        10
    """

    steps: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1 or min(given.values()) <= 0:
            raise ValueError(f"budget: give exactly one of steps, tokens and seconds, > 0, got {given or 'none'}")

    def steps_of(self, *, batch_size: int, cells: int) -> int | None:
        """The budget in optimizer steps; None where it is in seconds."""
        return math.ceil(self.tokens / (batch_size * cells)) if self.tokens is not None else self.steps

    def in_words(self, batch_size: int) -> str:
        """The budget of a run, for people.

        Example:
            >>> Budget(steps=800).in_words(batch_size=32), Budget(seconds=60).in_words(batch_size=32)
            ('800 steps of 32 grids', '60 seconds of training')
        """
        if self.steps is not None:
            return f"{self.steps:,} steps of {batch_size} grids"
        if self.tokens is not None:
            return f"{self.tokens:,} codes in steps of {batch_size} grids"
        return f"{self.seconds:g} seconds of training"


@dataclass(frozen=True)
class PriorPlan:
    """The prior that every run trains, but for its signals; see `vqgen.prior.Prior`.

    Args:
        dim: width.
        depth: blocks.
        heads: attention heads.
        style: `llama` or `gpt`.
        dropout: in [0, 1).
        use_codebook: let it know codes by the tokenizer's latents.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 2
    style: str = "llama"
    dropout: float = 0.1
    use_codebook: bool = False


@dataclass(frozen=True)
class QualityPlan:
    """Samples of every run, and the network through which FID and KID look at them.

    Args:
        images: how many to draw, and how many validation images to hold them against, >= 2.
        extractor: `lite0`, `inception` or a class path; None draws only what the report shows.
        temperature: of the sampling.
        top_k: of the sampling; None keeps all.
        top_p: of the sampling; None keeps all.
        guidance: of the sampling.
        batch_size: images drawn at a time.
        seed: of the noise, the same for all runs.
        shown: samples in the report's picture of each order.
    """

    images: int = 500
    extractor: str | None = "lite0"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance: float = 1.0
    batch_size: int = 100
    seed: int = 0
    shown: int = 12

    def __post_init__(self) -> None:
        if self.images < 2 or self.shown < 1 or self.batch_size < 1:
            raise ValueError(
                "quality: images must be >= 2, shown and batch_size >= 1, "
                f"got images={self.images}, shown={self.shown}, batch_size={self.batch_size}"
            )


@dataclass(frozen=True)
class Run:
    """One training of the plan.

    Attributes:
        index: its number in the plan, from 0.
        order: name of the order or policy, or path of an order file.
        signals: position signals.
        seed: of weights, data order and randomness.
        contender: what is compared: the order, and the signals where the plan has several.
    """

    index: int
    order: str
    signals: tuple[str, ...]
    seed: int
    contender: str

    @property
    def folder_name(self) -> str:
        """The run's folder below the plan's `runs/`."""
        return f"{folder_name(self.contender)}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Orders x signals x seeds on the codes of one tokenizer, with equal budgets.

    Args:
        folder: where results go.
        tokenizer: whose codes.
        source: the images.
        orders: names of orders or policies, or paths of order files.
        budget: of each run.
        title: of the report.
        signals: position signals, one list for each variant.
        seeds: each decides initial weights, the order of the data, dropout, and the permutation of `random`.
        reference: the order, of the first signals, that others are compared with.
        prior: its size.
        optimization: optimizer, learning rate and schedule.
        batch_size: grids a step.
        views: versions of each training image.
        flip: whether a mirror image shows the same thing.
        codes: folder of the codes, as `vqgen tokenize` writes it; None takes one in the cache.
        validation_images: how many held-out images the likelihood is computed on; None takes all.
        validate_every: steps between the points of the learning curve.
        checkpoint_every: steps between checkpoints.
        precision: of the Trainer.
        quality: of samples.
        keep_models: keep each run's pipeline, which `vqgen sample` and `vqgen orders search` read.

    Raises:
        ValueError: if a list is empty or repeats itself, or the reference is not among the orders.
    """

    folder: str
    tokenizer: TokenizerPlan
    source: ImageSource
    orders: Sequence[str]
    budget: Budget
    title: str = "Does the scan order matter?"
    signals: Sequence[Sequence[str]] = (("target", "rotary"),)
    seeds: Sequence[int] = (0, 1, 2)
    reference: str = "raster"
    prior: PriorPlan = field(default_factory=PriorPlan)
    optimization: Optimization = field(default_factory=Optimization)
    batch_size: int = 32
    views: int = 2
    flip: bool = True
    codes: str | None = None
    validation_images: int | None = 2000
    validate_every: int = 100
    checkpoint_every: int = 50
    precision: Precision = "32-true"
    quality: QualityPlan = field(default_factory=QualityPlan)
    keep_models: bool = False

    def __post_init__(self) -> None:
        for name, values in (("orders", self.orders), ("signals", self.signals), ("seeds", self.seeds)):
            told = [tuple(value) if isinstance(value, (list, tuple)) else value for value in values]
            if not told or len(set(told)) < len(told):
                raise ValueError(f"{name} must list at least one, none of them twice, got {list(values)}")
        names = [folder_name(order_label(order)) for order in self.orders]
        if len(set(names)) < len(names):
            raise ValueError(f"two orders would share a folder, as their names are {names}; rename one of the files")
        if self.reference not in self.orders:
            raise ValueError(f"the reference must be one of the orders {list(self.orders)}, got {self.reference!r}")

    def runs(self) -> tuple[Run, ...]:
        """Every run; all orders under the first seed come first, so that a third of the time shows all orders."""
        several = len(self.signals) > 1
        combinations = [
            (seed, order, tuple(signals)) for seed in self.seeds for signals in self.signals for order in self.orders
        ]
        return tuple(
            Run(index, order, signals, seed, contender_label(order, signals if several else ()))
            for index, (seed, order, signals) in enumerate(combinations)
        )

    @property
    def reference_contender(self) -> str:
        """The contender that the others are compared with."""
        return contender_label(self.reference, tuple(self.signals[0]) if len(self.signals) > 1 else ())

    @property
    def path(self) -> Path:
        """The folder, as a path."""
        return Path(self.folder)

    def describe(self) -> dict[str, Any]:
        """The plan in JSON-able values, for the report to state."""
        parts = ("tokenizer", "budget", "prior", "optimization", "quality")
        plain = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name not in (*parts, "source", "signals")
        }
        plain |= {name: dataclasses.asdict(getattr(self, name)) for name in parts}
        plain["signals"] = [list(signals) for signals in self.signals]
        plain["source"] = {
            "class": f"{type(self.source).__module__.split('.')[0]}.{type(self.source).__name__}",
            "arguments": plain_arguments(self.source),
        }
        return plain
