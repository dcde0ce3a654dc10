"""Means with intervals, paired differences, and the correction for looking at many of them."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with 95% confidence.

    Attributes:
        mean: of the values.
        low: lower end; nan for a single value.
        high: upper end; nan for a single value.
        deviation: standard deviation of the values; nan for a single one.
        count: number of values.
    """

    mean: float
    low: float
    high: float
    deviation: float
    count: int

    @property
    def half_width(self) -> float:
        """From the mean to an end."""
        return self.high - self.mean


@dataclass(frozen=True)
class Comparison:
    """A paired difference from the reference, and how surprising it were if there was none.

    Attributes:
        difference: mean and interval of value minus reference value, pair by pair.
        p: of the two-sided paired t-test; nan with fewer than two pairs.
        corrected_p: after Holm's correction for all comparisons of the family.
    """

    difference: Interval
    p: float
    corrected_p: float

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below 5%."""
        return self.corrected_p < 1 - CONFIDENCE


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and 95% interval of values that are independent and roughly normal.

    ``mean +- t(0.975, m - 1) s / sqrt(m)``.

    Args:
        values: m >= 1 numbers.

    Returns:
        The interval.

    Raises:
        ValueError: if there are no values.

    Example:
        >>> found = t_interval([1.0, 2.0, 3.0])  # t(0.975, 2) = 4.303, s / sqrt(3) = 0.577
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (2.0, -0.484, 4.484)
    """
    if not values:
        raise ValueError("expected at least one value to average, got none")
    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return Interval(mean, math.nan, math.nan, math.nan, count)
    deviation = statistics.stdev(values)
    half = float(scipy_stats().t.ppf((1 + CONFIDENCE) / 2, count - 1)) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, deviation, count)


def paired_comparison(differences: Sequence[float]) -> Comparison:
    """Test whether paired differences have the mean zero: a two-sided t-test, not yet corrected.

    Args:
        differences: value minus reference value, one for each pair.

    Returns:
        The comparison, `corrected_p` equal to `p`.

    Example:
        >>> found = paired_comparison([0.1, 0.2, 0.3])  # t = 0.2 / (0.1 / sqrt(3)) = 3.464 with 2 degrees of freedom
        >>> round(found.p, 4)
        0.0742
    """
    interval = t_interval(differences)
    if interval.count < 2:
        p = math.nan
    elif interval.deviation == 0:
        p = 1.0 if interval.mean == 0 else 0.0
    else:
        t = interval.mean / (interval.deviation / math.sqrt(interval.count))
        p = float(2 * scipy_stats().t.sf(abs(t), interval.count - 1))
    return Comparison(interval, p, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that the chance of any false alarm stays at the level of one test.

    The i-th smallest of m is multiplied by m - i + 1, and none may fall below the one before it. What is nan takes no
    part.

    Args:
        p_values: in any order.

    Returns:
        The corrected ones, in the same order.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    ranked = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected, greatest = list(p_values), 0.0
    for rank, (p, index) in enumerate(ranked):
        greatest = max(greatest, min(1.0, p * (len(ranked) - rank)))
        corrected[index] = greatest
    return corrected


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons as one family, with Holm's correction."""
    p_values = holm([comparison.p for comparison in comparisons])
    return [replace(comparison, corrected_p=p) for comparison, p in zip(comparisons, p_values, strict=True)]


def scipy_stats() -> Any:
    """`scipy.stats`, or how to get it.

    Raises:
        ModuleNotFoundError: if the extra `compare` is not installed.
    """
    try:
        return importlib.import_module("scipy.stats")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "comparing runs needs the package scipy, which is not installed; run `pip install 'vqgen[compare]'`"
        ) from None
