"""The analysis of made results: hand-worked differences, sums over steps and cells, correlations."""

import math

import pytest
from made_results import made_result
from scipy import stats

from vqgen.compare import agreement, analyse
from vqgen.compare.analysis import half_spent
from vqgen.compare.published import PUBLISHED
from vqgen.orders import measure_locality, scan_order


def test_contenders_are_ranked_and_compared_by_seed():
    results = [made_result("raster", seed, 3.0 + 0.1 * seed) for seed in range(3)]
    results += [made_result("hilbert", seed, 3.0 + 0.1 * seed + gain) for seed, gain in enumerate((0.1, 0.2, 0.3))]
    results += [made_result("snake", seed, 2.9 + 0.1 * seed) for seed in range(3)]
    found = analyse(results, reference="raster")
    assert [each.label for each in found.contenders] == ["snake", "raster", "hilbert"]
    assert found["raster"].across_seeds is None
    hilbert, snake = found["hilbert"].across_seeds, found["snake"].across_seeds
    assert hilbert.difference.mean == pytest.approx(0.2)
    expected = stats.ttest_rel([3.1, 3.3, 3.5], [3.0, 3.1, 3.2]).pvalue
    assert hilbert.p == pytest.approx(expected)
    assert hilbert.corrected_p == pytest.approx(expected)  # the largest of two is not changed
    assert snake.corrected_p == pytest.approx(2 * snake.p, abs=1e-9)
    assert (hilbert.significant, snake.significant) == (False, True)
    assert found["hilbert"].nll_by_seed == {0: 3.1, 1: pytest.approx(3.3), 2: pytest.approx(3.5)}
    assert found["raster"].steps_per_second == 11.0
    assert found["raster"].quality["fid_lite0"].mean == pytest.approx(31.0)


def test_images_are_paired_after_averaging_over_seeds():
    ours, theirs = [1.0, 2.0, 4.0], [1.1, 2.3, 4.2]
    results = [made_result("raster", seed, 2.0, image_nats=[x + seed for x in ours]) for seed in (0, 1)]
    results += [made_result("hilbert", seed, 2.2, image_nats=[x + seed for x in theirs]) for seed in (0, 1)]
    found = analyse(results, reference="raster")["hilbert"].across_images
    assert found.difference.count == 3
    assert found.p == pytest.approx(stats.ttest_rel(theirs, ours).pvalue)


def test_only_shared_seeds_are_paired_and_a_missing_reference_leaves_no_differences():
    results = [made_result("raster", 0, 3.0), made_result("hilbert", 0, 3.1), made_result("hilbert", 1, 9.0)]
    found = analyse(results, reference="raster")
    assert found["hilbert"].across_seeds.difference.mean == pytest.approx(0.1)
    assert math.isnan(found["hilbert"].across_seeds.p)
    alone = analyse(results[1:], reference="raster")
    assert alone["hilbert"].across_seeds is None
    with pytest.raises(ValueError, match="compare run"):
        analyse([], reference="raster")


def test_steps_cells_and_curves_are_means_over_seeds():
    results = [
        made_result("raster", 0, 2.0, step_nats=[1.0] * 16, curve=[[5, 1.0, 4.0], [10, 1.0, 2.0]]),
        made_result("raster", 1, 4.0, step_nats=[3.0] * 16, curve=[[5, 1.0, 6.0]]),
    ]
    found = analyse(results, reference="raster")["raster"]
    assert found.step_nats == (2.0,) * 16
    assert found.cell_nats == (3.0,) * 16
    assert found.curve == {5: 5.0}  # a point that a seed lacks would jump
    assert found.half_spent == pytest.approx(0.5)


def test_half_spent_interpolates():
    assert half_spent([1.0, 1.0]) == pytest.approx(0.5)
    assert half_spent([0.0, 4.0]) == pytest.approx(0.75)
    assert half_spent([2.0] * 8 + [0.0] * 8) == pytest.approx(0.25)


def test_locality_that_decides_the_likelihood_is_found():
    orders = ("raster", "column", "hilbert", "morton", "spiral-in", "bit-reversal", "random", "checkerboard")
    steps = {name: measure_locality(scan_order(name, height=4, width=4)).mean_step for name in orders}
    found = analyse([made_result(name, 0, 3 + value) for name, value in steps.items()], reference="raster")
    by_name = {each.statistic: each for each in found.correlations}
    assert by_name["mean_step"].rho == pytest.approx(1.0)
    assert by_name["mean_step"].count == 8
    assert by_name["mean_step"].corrected_p >= by_name["mean_step"].p
    assert abs(found.correlations[0].rho) == pytest.approx(1.0)
    assert found["hilbert"].locality["unit_step_fraction"] == 1.0


def test_orders_that_differ_by_sample_have_no_locality():
    found = analyse([made_result("raster", 0, 3.0), made_result("random", 0, 3.5, positions=None)], reference="raster")
    assert found["random"].locality is None
    assert found.correlations == ()


def test_published_ranking_is_laid_beside_ours():
    taming = PUBLISHED[0]
    found = agreement(taming, {"raster": 3.0, "spiral-in": 2.9, "bit-reversal": 3.5, "hilbert": 1.0})
    assert [row[0] for row in found.rows] == ["raster", "spiral-in", "bit-reversal"]
    assert [row[3] for row in found.rows] == [1, 2, 3]
    assert [row[5] for row in found.rows] == [2, 1, 3]
    assert (found.agreeing, found.pairs) == (2, 3)
    assert found.rho == pytest.approx(0.5)
    assert agreement(taming, {"hilbert": 1.0, "raster": 2.0}) is None
    assert taming.values["raster"] == ("row major", 4.767)
