import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqgen.sampling import GROUP_SCHEDULES, group_sizes


@given(cells=st.integers(1, 300), data=st.data(), schedule=st.sampled_from([*GROUP_SCHEDULES, math.sqrt]))
def test_sizes_are_positive_and_sum_to_the_cells_in_exactly_that_many_steps(cells, data, schedule) -> None:
    steps = data.draw(st.integers(1, cells))
    sizes = group_sizes(cells, steps, schedule)
    assert len(sizes) == steps
    assert sum(sizes) == cells
    assert min(sizes) >= 1


@given(cells=st.integers(1, 300), data=st.data())
def test_linear_groups_differ_by_one_at_most(cells: int, data: st.DataObject) -> None:
    sizes = group_sizes(cells, data.draw(st.integers(1, cells)), "linear")
    assert max(sizes) - min(sizes) <= 1


def test_rounding_errors_move_no_cell() -> None:
    assert group_sizes(42, 14, "linear") == (3,) * 14


@pytest.mark.parametrize("steps", [16, 20, 32, 48, 64, 88, 128, 200, 256])
def test_cosine_groups_of_a_grid_of_16_x_16_are_those_published_with_randar(steps: int) -> None:
    known, expected = 0, []
    for step in range(steps):
        share = 1.0 - math.cos(math.pi / 2.0 * (step + 1) / steps)
        size = min(max(min(int(share * 256 + 1), 256) - known, 1), 256 - known)
        expected.append(size)
        known += size
    assert group_sizes(256, steps) == tuple(expected)
    assert max(expected) == {16: 25, 32: 13, 88: 5}.get(steps, max(expected))


def test_a_schedule_of_one_s_own_says_what_is_known_after_each_step() -> None:
    assert group_sizes(100, 4, lambda progress: progress**2) == (7, 18, 32, 43)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "cells must be >= 1, got 0"),
        ((9, 0), "steps must be from 1 to the number of cells to draw, 9, got 0"),
        ((9, 10), "steps must be from 1 to the number of cells to draw, 9, got 10"),
        ((9, 3, "quadratic"), "schedule must be one of cosine, linear or a function, got 'quadratic'"),
        ((9, 3, lambda progress: 2.0), "schedule must give shares from 0 to 1, got 2.0 at 0.333333 of the steps"),
    ],
)
def test_group_sizes_refuses_what_makes_no_sense(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_sizes(*arguments)
