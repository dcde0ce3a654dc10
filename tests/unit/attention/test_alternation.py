import inspect

import pytest
from torch import nn

from vqgen.attention import Attention, DenseAttention, RowAttention, attention_of, check_attentions

unchecked = inspect.unwrap(check_attentions)  # without the checks of annotations that the tests run under


class Learning(DenseAttention):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(2, 2)


def test_attentions_take_turns_over_layers() -> None:
    dense, row = DenseAttention(), RowAttention()
    assert [attention_of((dense, row), layer) for layer in range(4)] == [dense, row, dense, row]


@pytest.mark.parametrize(
    ("attentions", "rows", "error", "message"),
    [
        ([], 1, ValueError, "attention must name at least one attention, got none; pass None for dense attention"),
        ([nn.Identity()], 1, TypeError, "attention must be of vqgen.attention.Attention objects, got Identity"),
        ([RowAttention()], 2, ValueError, "RowAttention needs signals that lay each step out in one row"),
        ([Learning()], 1, ValueError, "Learning holds parameters, which all its layers would share"),
    ],
)
def test_what_a_prior_cannot_use_is_refused(
    attentions: list[Attention], rows: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        unchecked(attentions, rows=rows)
