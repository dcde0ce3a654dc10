"""The analysis in words: the ranking, what is and what is not significant, what predicts it, and what surprises."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from vqgen.compare.analysis import Analysis, Contender
from vqgen.compare.published import Agreement
from vqgen.compare.significance import Comparison, scipy_stats

STATISTIC_WORDS = {
    "mean_step": "the mean length of a step",
    "max_step": "the longest step",
    "mean_manhattan_step": "the mean step in rows and columns",
    "max_manhattan_step": "the longest step in rows and columns",
    "unit_step_fraction": "the share of steps to a neighbour",
    "mean_nearest_known": "the mean distance to the nearest known cell",
    "median_nearest_known": "the median distance to the nearest known cell",
    "isolated_fraction": "the share of cells visited without a known neighbour",
    "left_known_fraction": "how often the left neighbour is known",
    "mean_left_age": "how long ago the left neighbour was visited",
    "up_known_fraction": "how often the neighbour above is known",
    "mean_up_age": "how long ago the neighbour above was visited",
}


def summarise(
    analysis: Analysis, agreements: Sequence[Agreement] = (), *, failures: int = 0, missing: int = 0
) -> list[str]:
    """Say what the figures say, and no more.

    Args:
        analysis: from `analyse`.
        agreements: with published rankings.
        failures: runs that failed.
        missing: runs of the plan that have not finished, the failed ones included.

    Returns:
        Sentences, a paragraph each.
    """
    said = [_ranking(analysis)]
    if any(each.across_seeds is not None for each in analysis.contenders):
        said += [_across_seeds(analysis), _across_images(analysis)]
    said += [_locality(analysis), *_quality(analysis), *_surprises(analysis)]
    said += [_published(each) for each in agreements]
    if missing:
        said.append(f"{missing} planned run{'s' * (missing > 1)} did not finish, {failures} of them with an error.")
    return said


def _ranking(analysis: Analysis) -> str:
    best, worst = analysis.contenders[0], analysis.contenders[-1]
    text = f"Lowest validation loss: {best.label} with {_with_interval(best)}."
    if len(analysis.contenders) > 1:
        gap = worst.nll.mean - best.nll.mean
        ranks = ", ".join(each.label for each in analysis.contenders)
        text += (
            f" Highest: {worst.label} with {_with_interval(worst)}. From best to worst it is {gap:.3f} nats per code, "
            f"{gap / best.nll.mean:.1%}. The ranking: {ranks}."
        )
    return text


def _with_interval(contender: Contender) -> str:
    nll = contender.nll
    if nll.count < 2:
        return f"{nll.mean:.3f} nats per code (one seed, so no interval)"
    return f"{nll.mean:.3f} nats per code (95% interval {nll.low:.3f} to {nll.high:.3f}, {nll.count} seeds)"


def _across_seeds(analysis: Analysis) -> str:
    tests = {each.label: each.across_seeds for each in analysis.contenders if each.across_seeds is not None}
    seeds = max(test.difference.count for test in tests.values())
    if all(math.isnan(test.p) for test in tests.values()):
        return f"With one seed, nothing can be said about other seeds; {analysis.reference} is the reference."
    text = f"Paired by seed against {analysis.reference}, corrected for {len(tests)} comparisons: {_sorted_out(tests)}"
    if seeds < 5:
        text += f" With {seeds} seeds this test finds large and steady differences only; its silence proves nothing."
    return text


def _across_images(analysis: Analysis) -> str:
    tests = {each.label: each.across_images for each in analysis.contenders if each.across_images is not None}
    return (
        "Paired by validation image, for the models as they came out (would it hold on other images?): "
        + _sorted_out(tests)
    )


def _sorted_out(tests: Mapping[str, Comparison]) -> str:
    better = [label for label, test in tests.items() if test.significant and test.difference.mean < 0]
    worse = [label for label, test in tests.items() if test.significant and test.difference.mean > 0]
    unclear = [label for label in tests if label not in (*better, *worse)]
    parts = [("significantly better", better), ("significantly worse", worse), ("not to be told apart", unclear)]
    return "; ".join(f"{what}: {', '.join(labels)}" for what, labels in parts if labels) + "."


def _locality(analysis: Analysis) -> str:
    if not analysis.correlations:
        return "Too few fixed orders to ask whether locality predicts the loss."
    first = analysis.correlations[0]
    words = STATISTIC_WORDS.get(first.statistic, first.statistic)
    relation = (
        f"{words} (Spearman's rho {first.rho:+.2f} over {first.count} orders, corrected p {first.corrected_p:.2g})"
    )
    if first.corrected_p < 0.05:
        found = [each for each in analysis.correlations if each.corrected_p < 0.05]
        others = f" {len(found)} of {len(analysis.correlations)} statistics are significant." if len(found) > 1 else ""
        return f"Locality predicts the loss: most of all {relation}.{others}"
    return f"No statistic of locality predicts the loss significantly; the closest is {relation}."


def _quality(analysis: Analysis) -> list[str]:
    contenders = analysis.contenders
    names = [name for name in contenders[0].quality if name.startswith("fid_")]
    if not names or len(contenders) < 3:
        return []
    name = names[0]
    best = min(contenders, key=lambda each: each.quality[name].mean)
    figures = [each.quality[name].mean for each in contenders]
    rho = float(scipy_stats().spearmanr([each.nll.mean for each in contenders], figures)[0])
    agree = "agrees" if rho > 0.5 else "disagrees" if rho < -0.1 else "says little"
    return [
        f"Samples: the lowest FID ({name.removeprefix('fid_')} features) is {best.label}'s, "
        f"{best.quality[name].mean:.1f}; the ranking by FID {agree}{' about' * (agree == 'says little')} "
        f"{'with ' * (agree != 'says little')}the ranking by loss (rho {rho:+.2f})."
    ]


def _surprises(analysis: Analysis) -> list[str]:
    found = []
    contenders = analysis.contenders
    seeds = sorted({seed for each in contenders for seed in each.nll_by_seed})
    firsts = {
        seed: min((each.nll_by_seed[seed], each.label) for each in contenders if seed in each.nll_by_seed)[1]
        for seed in seeds
    }
    if len(set(firsts.values())) > 1:
        told = ", ".join(f"{label} under seed {seed}" for seed, label in firsts.items())
        found.append(f"The best order depends on the seed: {told}.")
    deviations = [each.nll.deviation for each in contenders if each.nll.count > 1]
    if deviations and len(contenders) > 1:
        spread = statistics.median(deviations)
        gaps = [b.nll.mean - a.nll.mean for a, b in pairwise(contenders)]
        close = sum(gap < spread for gap in gaps)
        found.append(
            f"A seed moves the loss by {spread:.4f} nats (median standard deviation); {close} of the {len(gaps)} "
            "neighbours in the ranking are closer to each other than that."
        )
    labels = [each.label for each in contenders if each.positions is not None]
    beaten = labels[labels.index("random") + 1 :] if "random" in labels else []
    if beaten:
        found.append(f"A random permutation, fixed for each seed, did better than {', '.join(beaten)}.")
    over = [each.label for each in contenders if each.curve and each.nll.mean and _overfit(each)]
    if over:
        found.append(
            f"Overfitting at the end of the budget, so that a shorter one would rank otherwise: {', '.join(over)}."
        )
    return found


def _overfit(contender: Contender) -> bool:
    losses = list(contender.curve.values())
    return losses[-1] > 1.005 * min(losses)


def _published(found: Agreement) -> str:
    first = found.published.study.split("(")[0].split(",")[0].strip()
    rho = "" if math.isnan(found.rho) else f" (rho {found.rho:+.2f})"
    return (
        f"Beside {first}: of {found.pairs} pairs of orders that both measured, {found.agreeing} are ranked the same "
        f"way{rho}."
    )
