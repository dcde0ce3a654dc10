import torch

from vqgen.checkpoint import build, config_of
from vqgen.conditioning import PrefixGridConditioner


def test_rows_are_codes_with_their_place_in_raster_order() -> None:
    conditioner = PrefixGridConditioner(5, 2, 3, dim=4).eval()
    condition = torch.randint(5, (2, 2, 3))
    prefix = conditioner(condition, 2).prefix
    assert conditioner.prefix_rows == 6
    assert prefix is not None
    for row in range(2):
        for column in range(3):
            expected = conditioner.embedding(condition[:, row, column])
            expected = expected + conditioner.row[row, 0] + conditioner.column[0, column]
            torch.testing.assert_close(prefix[:, row * 3 + column], expected)


def test_is_rebuilt_from_its_description() -> None:
    conditioner = PrefixGridConditioner(5, 2, 3, dim=4, condition_dropout=0.25)
    copy = build(config_of(conditioner))
    assert isinstance(copy, PrefixGridConditioner)
    assert config_of(copy) == config_of(conditioner)
    assert (copy.prefix_rows, copy.condition_dropout) == (6, 0.25)
