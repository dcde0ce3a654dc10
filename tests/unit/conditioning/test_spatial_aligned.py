import pytest
import torch
from torch import nn

from vqgen.checkpoint import build, config_of
from vqgen.conditioning import AlignedGridConditioner, ConvolutionalContext


def cells_of(conditioner: AlignedGridConditioner, condition: torch.Tensor) -> torch.Tensor:
    cells = conditioner.eval()(condition, len(condition)).cells
    assert cells is not None
    return cells.view(len(condition), conditioner.height, conditioner.width, conditioner.dim)


def test_a_cell_is_told_what_lies_there() -> None:
    conditioner = AlignedGridConditioner(5, 2, 3, dim=4)
    condition = torch.randint(5, (2, 2, 3))
    assert torch.equal(cells_of(conditioner, condition), conditioner.embedding(condition))


@pytest.mark.parametrize(("height", "width", "down", "across"), [(2, 3, 2, 2), (3, 2, 1, 3), (2, 2, 4, 1)])
def test_a_finer_condition_is_told_by_patches(height: int, width: int, down: int, across: int) -> None:
    conditioner = AlignedGridConditioner(5, height * down, width * across, dim=4, height=height, width=width)
    condition = torch.randint(5, (2, height * down, width * across))
    cells = cells_of(conditioner, condition)
    assert conditioner.merge is not None
    for row in range(height):
        for column in range(width):
            patch = condition[:, row * down : (row + 1) * down, column * across : (column + 1) * across]
            expected = conditioner.merge(conditioner.embedding(patch.flatten(1)).flatten(1))
            torch.testing.assert_close(cells[:, row, column], expected)


@pytest.mark.parametrize(
    ("given", "nearest"), [(2, [0, 0, 1, 1]), (1, [0, 0, 0, 0]), (3, [0, 1, 1, 2]), (6, [0, 2, 3, 5])]
)
def test_any_other_condition_is_told_by_the_nearest_cell(given: int, nearest: list[int]) -> None:
    conditioner = AlignedGridConditioner(6, given, 1, dim=4, height=4, width=1)
    condition = torch.arange(given).view(1, given, 1)
    assert torch.equal(cells_of(conditioner, condition)[0, :, 0], conditioner.embedding(torch.tensor(nearest)))


def test_context_shows_a_cell_its_surroundings() -> None:
    context = ConvolutionalContext(4, depth=2)
    conditioner = AlignedGridConditioner(5, 7, 9, dim=4, context=context)
    condition = torch.randint(4, (1, 7, 9))
    changed = condition.clone()
    changed[0, 3, 4] = 4
    before = cells_of(conditioner, condition)
    assert torch.equal(before, conditioner.embedding(condition))  # as built, the context adds nothing
    for parameter in context.parameters():
        nn.init.normal_(parameter, std=0.5)
    before, after = cells_of(conditioner, condition), cells_of(conditioner, changed)
    differs = (before != after).any(-1)[0]
    expected = torch.zeros(7, 9, dtype=torch.bool)
    expected[0:7, 1:8] = True  # 2^2 - 1 = 3 cells to every side
    assert torch.equal(differs, expected)


def test_is_rebuilt_from_its_description() -> None:
    conditioner = AlignedGridConditioner(5, 4, 6, dim=4, height=2, width=3)
    assert config_of(conditioner)["init_args"] == {
        "num_codes": 5,
        "dim": 4,
        "height": 2,
        "width": 3,
        "grid_height": 4,
        "grid_width": 6,
        "condition_dropout": 0.1,
    }
    with_context = AlignedGridConditioner(5, 2, 3, dim=4, context=ConvolutionalContext(4, depth=1))
    with_context.use_codebook(torch.randn(5, 3))
    copy = build(config_of(with_context))
    copy.load_state_dict(with_context.state_dict())
    condition = torch.randint(5, (1, 2, 3))
    assert isinstance(copy, AlignedGridConditioner)
    assert torch.equal(cells_of(copy, condition), cells_of(with_context, condition))


def test_refuses_sizes_below_one() -> None:
    with pytest.raises(ValueError, match="height and width must be >= 1, got 0 x 3; pass the prior's grid size"):
        AlignedGridConditioner(5, 2, 3, dim=4, height=0)
    with pytest.raises(ValueError, match="pass context=None for none"):
        ConvolutionalContext(4, depth=0)
