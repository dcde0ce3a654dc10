import pytest
import torch
from torch import Tensor

from vqgen.prior import check_positions, steps_asking, steps_of


def test_steps_of_begins_with_no_content_cell() -> None:
    steps = steps_of(torch.tensor([2, 0, 3, 1]), first=0, count=4, batch_size=7)
    assert steps.index.tolist() == [0, 1, 2, 3]
    assert steps.content.tolist() == [[-1, 2, 0, 3]]
    assert steps.target.tolist() == [[2, 0, 3, 1]]


def test_steps_of_cuts_from_the_middle_with_an_order_per_image() -> None:
    steps = steps_of(torch.tensor([[2, 0, 3, 1], [0, 1, 2, 3]]), first=2, count=2, batch_size=2)
    assert steps.index.tolist() == [2, 3]
    assert steps.content.tolist() == [[0, 3], [1, 2]]
    assert steps.target.tolist() == [[3, 1], [2, 3]]


def test_steps_of_refuses_an_order_too_short() -> None:
    with pytest.raises(ValueError, match="at least 5 steps, got 4; pass the whole order"):
        steps_of(torch.arange(4), first=3, count=2, batch_size=1)


def test_steps_of_refuses_orders_for_another_batch() -> None:
    with pytest.raises(ValueError, match=r"or \(3, n\), one order per sequence, got \(2, 4\)"):
        steps_of(torch.arange(4).repeat(2, 1), first=0, count=2, batch_size=3)


def test_check_positions_accepts_any_permutation_and_a_part_of_one() -> None:
    check_positions(torch.randperm(6), cells=6)
    check_positions(torch.stack([torch.randperm(6)[:4], torch.randperm(6)[:4]]), cells=6)


def test_check_positions_refuses_cells_outside_the_grid() -> None:
    with pytest.raises(ValueError, match="from 0 to 3, got 0 to 5; use an order made for this grid"):
        check_positions(torch.arange(6), cells=4)


def test_check_positions_refuses_a_cell_visited_twice() -> None:
    with pytest.raises(ValueError, match="at most once, got a cell twice"):
        check_positions(torch.tensor([[0, 1, 2], [2, 0, 2]]), cells=3)


def test_check_positions_refuses_an_empty_order() -> None:
    with pytest.raises(ValueError, match="at least one cell, got none"):
        check_positions(torch.zeros(0, dtype=torch.int64), cells=3)


def test_steps_asking_repeats_the_last_step_for_each_cell() -> None:
    order = torch.tensor([[2, 0, 3, 1], [0, 1, 2, 3]])
    steps = steps_asking(order, torch.tensor([[3, 1], [2, 3]]), first=1, count=2, batch_size=2)
    assert steps.index.tolist() == [1, 2, 2]
    assert steps.content.tolist() == [[2, 0, 0], [0, 1, 1]]
    assert steps.target.tolist() == [[0, 3, 1], [1, 2, 3]]


def test_steps_asking_before_anything_is_known_reads_no_cell_and_no_position() -> None:
    steps = steps_asking(torch.empty(0).long(), torch.tensor([3, 1]), first=0, count=1, batch_size=2)
    assert steps.index.tolist() == [0, 0]
    assert steps.content.tolist() == [[-1, -1]]
    assert steps.target.tolist() == [[3, 1]]


def test_steps_asking_takes_a_shared_order_with_cells_of_each_image() -> None:
    steps = steps_asking(torch.tensor([2, 0]), torch.tensor([[3, 1], [1, 3]]), first=0, count=3, batch_size=2)
    assert steps.content.tolist() == [[-1, 2, 0, 0]] * 2
    assert steps.target.tolist() == [[2, 0, 3, 1], [2, 0, 1, 3]]


@pytest.mark.parametrize(
    ("positions", "cells", "message"),
    [
        (torch.arange(4), torch.empty(0).long(), r"cells of shape \(m,\).*with at least one cell, got \(0,\)"),
        (torch.arange(4), torch.zeros(3, 1).long(), r"cells of shape.*or \(2, m\).*got \(3, 1\)"),
        (torch.arange(1), torch.arange(2), r"positions of 2 steps or more.*got shape \(1,\)"),
        (torch.zeros(3, 4).long(), torch.arange(2), r"one order for each of 2 sequences, got shape \(3, 4\)"),
    ],
)
def test_steps_asking_refuses_shapes_that_do_not_fit(positions: Tensor, cells: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        steps_asking(positions, cells, first=1, count=2, batch_size=2)
