"""From the results of all runs to what a report says: intervals, differences, where the bits go, what predicts them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from vqgen.compare.result import RunResult
from vqgen.compare.significance import Comparison, Interval, corrected, holm, paired_comparison, scipy_stats, t_interval
from vqgen.orders import ScanOrder, measure_locality


@dataclass(frozen=True)
class Contender:
    """An order (with its signals), over all its seeds.

    Attributes:
        label: its name in the report.
        order: the order's or policy's name.
        signals: position signals.
        nll: validation nats per code over seeds.
        nll_by_seed: of each seed.
        across_seeds: difference from the reference, paired by seed; None for the reference itself.
        across_images: the same, paired by validation image, models as they are; None for the reference.
        step_nats: mean nats at each step.
        cell_nats: mean nats of each cell, in raster order.
        half_spent: share of the sequence after which half of the nats are spent.
        curve: step to mean validation loss along the training.
        locality: statistics of the order; None where every sample has its own.
        quality: FID and KID over seeds.
        steps_per_second: of training, median over seeds.
        images_per_second: of sampling, median over seeds.
        positions: of the first seed; None where every sample has its own.
    """

    label: str
    order: str
    signals: tuple[str, ...]
    nll: Interval
    nll_by_seed: Mapping[int, float]
    across_seeds: Comparison | None
    across_images: Comparison | None
    step_nats: tuple[float, ...]
    cell_nats: tuple[float, ...]
    half_spent: float
    curve: Mapping[int, float]
    locality: Mapping[str, float] | None
    quality: Mapping[str, Interval]
    steps_per_second: float
    images_per_second: float
    positions: tuple[int, ...] | None


@dataclass(frozen=True)
class Correlation:
    """How well the ranking by one statistic of the order tells the ranking by likelihood.

    Attributes:
        statistic: its name in `OrderLocality`.
        rho: Spearman's, in [-1, 1]; positive where larger goes with more nats.
        p: of no relation.
        corrected_p: after Holm's correction for all statistics looked at.
        count: orders.
    """

    statistic: str
    rho: float
    p: float
    corrected_p: float
    count: int


@dataclass(frozen=True)
class Analysis:
    """All contenders, the best first.

    Attributes:
        reference: label of the contender that differences refer to.
        contenders: sorted by mean validation NLL.
        correlations: of locality and likelihood, the strongest first, among orders with the reference's signals.
        height: rows of the grid.
        width: columns of the grid.
    """

    reference: str
    contenders: tuple[Contender, ...]
    correlations: tuple[Correlation, ...]
    height: int
    width: int

    def __getitem__(self, label: str) -> Contender:
        return next(contender for contender in self.contenders if contender.label == label)


def analyse(results: Sequence[RunResult], *, reference: str) -> Analysis:
    """Sum up the results of a plan; runs may be missing.

    Args:
        results: of one plan's finished runs, at least one.
        reference: label of the contender that differences refer to.

    Returns:
        The analysis. Without a finished run of the reference there are no differences.

    Raises:
        ValueError: if there are no results.
    """
    if not results:
        raise ValueError("expected at least one finished run, got none; run the plan first: vqgen compare run PLAN")
    by_label: dict[str, dict[int, RunResult]] = {}
    for result in results:
        by_label.setdefault(result.contender, {})[result.seed] = result
    against = by_label.get(reference, {})
    others = [label for label in by_label if label != reference and by_label[label].keys() & against.keys()]
    across_seeds = corrected([_across_seeds(by_label[label], against) for label in others])
    across_images = corrected([_across_images(by_label[label], against) for label in others])
    contenders = [_summary(label, runs) for label, runs in by_label.items()]
    compared = dict(zip(others, zip(across_seeds, across_images, strict=True), strict=True))
    contenders = [
        replace(each, across_seeds=compared[each.label][0], across_images=compared[each.label][1])
        if each.label in compared
        else each
        for each in contenders
    ]
    signals = tuple(next(iter(against.values())).signals) if against else contenders[0].signals
    return Analysis(
        reference=reference,
        contenders=tuple(sorted(contenders, key=lambda each: each.nll.mean)),
        correlations=locality_correlations([each for each in contenders if each.signals == signals]),
        height=results[0].height,
        width=results[0].width,
    )


def locality_correlations(contenders: Sequence[Contender]) -> tuple[Correlation, ...]:
    """Rank correlation of every locality statistic with the validation NLL.

    Args:
        contenders: those without a fixed order are passed over.

    Returns:
        One for each statistic that differs between orders, the strongest first; none for fewer than four orders.
    """
    known = [each for each in contenders if each.locality is not None]
    if len(known) < 4:
        return ()
    found = []
    for name in known[0].locality or ():
        values = [(each.locality or {})[name] for each in known]
        if any(math.isnan(value) for value in values) or len({round(value, 9) for value in values}) < 2:
            continue
        rho, p = scipy_stats().spearmanr(values, [each.nll.mean for each in known])
        found.append(Correlation(name, float(rho), float(p), float(p), len(known)))
    p_values = holm([each.p for each in found])
    found = [replace(each, corrected_p=p) for each, p in zip(found, p_values, strict=True)]
    return tuple(sorted(found, key=lambda each: -abs(each.rho)))


def _across_seeds(runs: Mapping[int, RunResult], against: Mapping[int, RunResult]) -> Comparison:
    """Would it come out so with other initial weights and another order of the data?"""
    return paired_comparison([runs[seed].nll - against[seed].nll for seed in sorted(runs.keys() & against.keys())])


def _across_images(runs: Mapping[int, RunResult], against: Mapping[int, RunResult]) -> Comparison:
    """Would it come out so, with these trained models, on other images of the same kind?"""
    shared = sorted(runs.keys() & against.keys())
    per_seed = [
        [ours - theirs for ours, theirs in zip(runs[seed].image_nats, against[seed].image_nats, strict=True)]
        for seed in shared
    ]
    return paired_comparison([statistics.fmean(values) for values in zip(*per_seed, strict=True)])


def _summary(label: str, by_seed: Mapping[int, RunResult]) -> Contender:
    runs = [by_seed[seed] for seed in sorted(by_seed)]
    step_nats = _mean_of_lists([run.step_nats for run in runs])
    curve: dict[int, list[float]] = {}
    for run in runs:
        for step, _, validation in run.curve:
            if step is not None and validation is not None:
                curve.setdefault(int(step), []).append(validation)
    localities = [
        asdict(measure_locality(ScanOrder(run.order, run.height, run.width, torch.tensor(run.positions))))
        for run in runs
        if run.positions is not None
    ]
    return Contender(
        label=label,
        order=runs[0].order,
        signals=tuple(runs[0].signals),
        nll=t_interval([run.nll for run in runs]),
        nll_by_seed={run.seed: run.nll for run in runs},
        across_seeds=None,
        across_images=None,
        step_nats=step_nats,
        cell_nats=_mean_of_lists([run.cell_nats for run in runs]),
        half_spent=half_spent(step_nats),
        curve={step: statistics.fmean(values) for step, values in sorted(curve.items()) if len(values) == len(runs)},
        locality={name: statistics.fmean(each[name] for each in localities) for name in localities[0]}
        if localities
        else None,
        quality={name: t_interval([run.quality[name] for run in runs]) for name in runs[0].quality},
        steps_per_second=statistics.median(run.steps_per_second for run in runs),
        images_per_second=statistics.median(run.images_per_second for run in runs),
        positions=None if runs[0].positions is None else tuple(runs[0].positions),
    )


def half_spent(step_nats: Sequence[float]) -> float:
    """Share of the sequence after which half of its nats are spent: below 0.5 where the first steps cost most.

    Example:
        >>> half_spent([3.0, 1.0, 1.0, 1.0])
        0.25
    """
    total = sum(step_nats)
    done = list(itertools.accumulate(step_nats))
    before, step = next((index, value) for index, value in enumerate(done) if value >= total / 2)
    start = step - step_nats[before]
    return (before + (total / 2 - start) / step_nats[before]) / len(step_nats) if total > 0 else 0.5


def _mean_of_lists(lists: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(statistics.fmean(values) for values in zip(*lists, strict=True))
