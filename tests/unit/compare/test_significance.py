"""Intervals, paired tests and Holm's correction against scipy and worked examples."""

import math

import numpy as np
import pytest
from scipy import stats

from vqgen.compare import holm, paired_comparison, t_interval


@pytest.mark.parametrize("count", [2, 3, 20])
def test_interval_and_test_are_scipy_s(count):
    values = np.random.default_rng(count).normal(0.3, 1.0, count)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    found = paired_comparison(values.tolist())
    assert found.difference.low == pytest.approx(low)
    assert found.difference.high == pytest.approx(high)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_interval_of_a_worked_example():
    # t(0.975, 2) = 4.302653, s = 0.1, so the half width is 4.302653 * 0.1 / sqrt(3)
    found = t_interval([4.7, 4.8, 4.9])
    assert found.half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert found.mean == pytest.approx(4.8)


def test_one_value_has_a_mean_and_no_interval():
    found = paired_comparison([0.5])
    assert found.difference.mean == 0.5
    assert math.isnan(found.difference.low)
    assert math.isnan(found.p)
    assert not found.significant


def test_differences_that_do_not_vary():
    assert paired_comparison([0.0, 0.0]).p == 1.0
    assert paired_comparison([0.2, 0.2]).p == 0.0


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="got none"):
        t_interval([])


def test_holm_of_a_worked_example():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stays_below_one_and_passes_over_nan():
    found = holm([0.9, math.nan, 0.8])
    assert found[0] == found[2] == 1.0
    assert math.isnan(found[1])


def test_holm_is_never_below_the_plain_p_nor_above_bonferroni():
    p_values = np.random.default_rng(0).uniform(size=12).tolist()
    for plain, corrected in zip(p_values, holm(p_values), strict=True):
        assert plain <= corrected <= min(1.0, 12 * plain) + 1e-12
