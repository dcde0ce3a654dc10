import pytest
import torch

from vqgen.prior import check_positions, steps_of


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
