import pytest
import torch

from vqgen.prior import Rows


@pytest.mark.parametrize("per_step", [1, 2, 3])
def test_content_is_in_the_first_row_of_a_step_and_answers_are_read_from_the_last(per_step: int) -> None:
    rows, contents = Rows(per_step), torch.randn(2, 4, 5)
    spread = rows.spread(contents)
    assert torch.equal(spread[:, ::per_step], contents)
    assert spread.count_nonzero() == contents.count_nonzero()
    numbered = torch.arange(4 * per_step)[None, :, None].float()
    assert rows.read(numbered).flatten().tolist() == [step * per_step + per_step - 1 for step in range(4)]


@pytest.mark.parametrize(
    ("per_step", "expected"),
    [(1, [0, 1, 2, 3, 4]), (2, [0, 1, 2, 3, 4, 5, 7, 9])],
)
def test_asked_rows_hold_the_content_of_the_last_step_once(per_step: int, expected: list[int]) -> None:
    assert Rows(per_step).asked(steps=2, questions=3).tolist() == expected
