import itertools
import math

import pytest

from vqgen.orders import distance_at_lag, measure_locality, scan_order


def naive_locality(order):
    """The same statistics with plain loops."""
    cells = [divmod(cell, order.width) for cell in order.positions.tolist()]
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(cells)]
    manhattan = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.pairwise(cells)]
    nearest = [min(math.dist(cell, known) for known in cells[:step]) for step, cell in enumerate(cells) if step]
    ages = {}
    for side, (down, right) in {"left": (0, -1), "up": (-1, 0)}.items():
        neighbours = [(cell[0] + down, cell[1] + right) for cell in cells]
        all_ages = [step - cells.index(beside) for step, beside in enumerate(neighbours) if beside in cells]
        known = [age for age in all_ages if age > 0]
        ages[f"{side}_known_fraction"] = len(known) / len(all_ages)
        ages[f"mean_{side}_age"] = sum(known) / len(known)
    median = sorted(nearest)
    middle = len(median) // 2
    return {
        "mean_step": sum(lengths) / len(lengths),
        "max_step": max(lengths),
        "mean_manhattan_step": sum(manhattan) / len(manhattan),
        "max_manhattan_step": max(manhattan),
        "unit_step_fraction": manhattan.count(1) / len(manhattan),
        "mean_nearest_known": sum(nearest) / len(nearest),
        "median_nearest_known": (median[middle] + median[-middle - 1]) / 2,
        "isolated_fraction": sum(distance > 1 for distance in nearest) / len(nearest),
        **ages,
    }


@pytest.mark.parametrize("name", ["raster", "hilbert", "bit-reversal", "halton", "random"])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (4, 3)])
def test_measure_locality_equals_plain_loops(name, height, width):
    order = scan_order(name, height=height, width=width)
    assert vars(measure_locality(order)) == pytest.approx(naive_locality(order))


def test_measure_locality_of_raster_is_known():
    found = measure_locality(scan_order("raster", height=16, width=16))
    assert (found.mean_left_age, found.mean_up_age) == (1, 16)
    assert found.unit_step_fraction == pytest.approx(240 / 255)
    assert found.max_manhattan_step == 16


def test_measure_locality_is_the_same_across_blocks():
    # More cells than one block of the search for the nearest known cell.
    found = measure_locality(scan_order("checkerboard", height=32, width=33))
    assert found.mean_nearest_known == pytest.approx((527 * math.sqrt(2) + 528) / 1055, rel=0.01)
    assert found.isolated_fraction == pytest.approx(527 / 1055)


def test_measure_locality_of_one_cell_has_nothing_to_measure():
    assert all(math.isnan(value) for value in vars(measure_locality(scan_order("raster", height=1, width=1))).values())


def test_measure_locality_knows_no_age_of_what_is_never_known():
    found = measure_locality(scan_order("raster-reverse", height=4, width=4))
    assert found.left_known_fraction == 0
    assert math.isnan(found.mean_left_age)


def test_distance_at_lag_equals_a_plain_loop():
    order = scan_order("random", height=4, width=5)
    cells = [divmod(cell, 5) for cell in order.positions.tolist()]
    naive = [math.dist(cells[step], cells[step + 3]) for step in range(17)]
    assert distance_at_lag(order, 3) == pytest.approx(sum(naive) / 17)


def test_hilbert_stays_nearer_than_raster():
    hilbert, raster = (scan_order(name, height=16, width=16) for name in ("hilbert", "raster"))
    assert distance_at_lag(hilbert, 8) < 0.6 * distance_at_lag(raster, 8)


@pytest.mark.parametrize("lag", [0, 4])
def test_distance_at_lag_refuses_a_lag_out_of_range(lag):
    with pytest.raises(ValueError, match=rf"lag must be in \[1, 3\] for 4 cells, got lag={lag}"):
        distance_at_lag(scan_order("raster", height=2, width=2), lag)
