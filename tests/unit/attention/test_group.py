import pytest
import torch

from vqgen.attention import visible_to_group


@pytest.mark.parametrize("cached", [0, 3])
@pytest.mark.parametrize("committed", [0, 1, 4])
@pytest.mark.parametrize("questions", [1, 5])
def test_committed_rows_follow_each_other_and_questions_stand_beside_each_other(
    cached: int, committed: int, questions: int
) -> None:
    visible = visible_to_group(cached=cached, committed=committed, questions=questions)
    for row, seen in enumerate(visible.tolist()):
        place = min(row, committed)
        expected = [key < cached + place or key == cached + row for key in range(cached + committed + questions)]
        assert seen == expected


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="questions >= 1, got cached=0, committed=2, questions=0"):
        visible_to_group(cached=0, committed=2, questions=0)
    assert visible_to_group(cached=0, committed=0, questions=1).equal(torch.ones(1, 1).bool())
