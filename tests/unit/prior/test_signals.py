import pytest
import torch
from torch import Tensor

from vqgen.prior import (
    SIGNALS,
    AdditiveSignal,
    CellSignal,
    DoubleSignal,
    InstructionSignal,
    Prior,
    RelativeSignal,
    StepSignal,
    TargetRotarySignal,
    TargetSignal,
    steps_of,
)
from vqgen.prior.signals import CellTable, OwnRotarySignal, RotarySignal

GRID = {"height": 3, "width": 5}


def test_every_signal_is_of_one_of_the_three_kinds() -> None:
    assert all(issubclass(signal, AdditiveSignal | RotarySignal | RelativeSignal) for signal in SIGNALS.values())


def test_cell_table_is_row_plus_column_with_an_entry_for_no_cell() -> None:
    table = CellTable(dim=8, **GRID)
    vectors = table(torch.tensor([[7, -1]]))[0]
    torch.testing.assert_close(vectors[0], table.rows.weight[1] + table.columns.weight[2])
    torch.testing.assert_close(vectors[1], table.rows.weight[3] + table.columns.weight[5])


def test_step_signal_ignores_the_cells() -> None:
    signal = StepSignal(dim=8, heads=2, **GRID)
    first, second = (signal(steps_of(torch.randperm(15), first=2, count=4, batch_size=1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first[0], signal.table.weight[2:6])


def test_cell_signal_depends_on_the_content_cell_alone() -> None:
    signal = CellSignal(dim=8, heads=2, **GRID)
    vectors = signal(steps_of(torch.tensor([4, 9, 1]), first=0, count=3, batch_size=1))[0]
    assert torch.equal(vectors, signal.content(torch.tensor([[-1, 4, 9]]))[0])


def test_target_signal_depends_on_both_cells() -> None:
    signal = TargetSignal(dim=8, heads=2, **GRID)
    vectors = signal(steps_of(torch.tensor([4, 9, 1]), first=0, count=3, batch_size=1))[0]
    expected = signal.content(torch.tensor([[-1, 4, 9]]))[0] + signal.target(torch.tensor([[4, 9, 1]]))[0]
    torch.testing.assert_close(vectors, expected)


def rotary_scores(positions: Tensor, query_key: Tensor) -> Tensor:
    """Scores (m, m) of each step's query with each step's key, after rotation."""
    signal = TargetRotarySignal(dim=16, heads=1, height=8, width=8)
    count = query_key.shape[1]
    rotated = signal(steps_of(positions, first=0, count=count, batch_size=1)).rotate(query_key)[0, :, :, 0]
    return rotated[:, 0] @ rotated[:, 1].T


def test_rotary_scores_depend_on_the_displacement_from_target_to_content() -> None:
    torch.manual_seed(0)
    query_key = torch.randn(1, 6, 2, 1, 16)
    rows, columns = torch.tensor([0, 3, 1, 2, 0, 4]), torch.tensor([2, 0, 4, 1, 1, 3])
    here = rotary_scores(rows * 8 + columns, query_key)
    moved = rotary_scores((rows + 3) * 8 + columns + 2, query_key)
    torch.testing.assert_close(here[:, 1:], moved[:, 1:], atol=1e-4, rtol=1e-4)  # every key but the start's
    assert not torch.allclose(here[:, 0], moved[:, 0], atol=1e-2)  # the start's tells the query its own cell


def test_rotary_leaves_the_start_key_and_the_query_of_cell_zero_as_they_are() -> None:
    signal, query_key = TargetRotarySignal(dim=16, heads=2, height=8, width=8), torch.randn(1, 1, 2, 2, 8)
    rotated = signal(steps_of(torch.arange(64), first=0, count=1, batch_size=1)).rotate(query_key)
    torch.testing.assert_close(rotated, query_key)


def test_rotary_keeps_lengths() -> None:
    signal, query_key = TargetRotarySignal(dim=16, heads=2, height=8, width=8), torch.randn(1, 9, 2, 2, 8)
    rotated = signal(steps_of(torch.randperm(64), first=0, count=9, batch_size=1)).rotate(query_key)
    torch.testing.assert_close(rotated.norm(dim=-1), query_key.norm(dim=-1))
    assert not torch.allclose(rotated[:, 1:], query_key[:, 1:])


def test_rotary_equals_a_complex_rotation_by_row_and_column() -> None:
    signal = TargetRotarySignal(dim=16, heads=1, height=8, width=8)
    query_key, cell = torch.randn(1, 1, 2, 1, 16), 5 * 8 + 3
    rotated = signal(steps_of(torch.tensor([0, cell]), first=1, count=1, batch_size=1)).rotate(query_key)
    frequencies = 100.0 ** (-torch.arange(4) / 4)
    angles = torch.cat((5 * frequencies, 3 * frequencies))
    query = torch.complex(query_key[0, 0, 0, 0, :8], query_key[0, 0, 0, 0, 8:])
    expected = query * torch.polar(torch.ones(8), angles)
    torch.testing.assert_close(rotated[0, 0, 0, 0], torch.cat((expected.real, expected.imag)))


def test_rotary_refuses_heads_that_do_not_divide_into_pairs_of_axes() -> None:
    with pytest.raises(ValueError, match="divisible by 4, got dim=12 and heads=2, 6 each"):
        TargetRotarySignal(dim=12, heads=2, **GRID)


def test_double_signal_has_the_content_in_one_half_of_the_features_and_the_target_in_the_other() -> None:
    vectors = DoubleSignal(dim=8, heads=2, **GRID)(steps_of(torch.tensor([4, 9, 4]), first=0, count=3, batch_size=1))[0]
    assert torch.equal(vectors[0, :4], torch.zeros(4))  # the start sits nowhere
    assert torch.equal(vectors[1, :4], vectors[0, 4:])  # cell 4, first as the target and then as the content
    assert torch.equal(vectors[2, :4], vectors[1, 4:])
    angles = torch.tensor([9.0, 9.0 / 100.0])
    torch.testing.assert_close(vectors[2, :4], 0.02 * torch.cat((angles.sin(), angles.cos())))


def test_double_signal_tells_all_cells_apart() -> None:
    encodings = DoubleSignal(dim=8, heads=2, height=16, width=16).encodings
    assert torch.cdist(encodings, encodings).fill_diagonal_(1.0).min() > 1e-5


def test_double_signal_refuses_a_width_without_two_halves_of_pairs() -> None:
    with pytest.raises(ValueError, match="width divisible by 4, got dim=6"):
        DoubleSignal(dim=6, heads=2, **GRID)


def test_instructions_stand_beside_empty_rows_and_are_one_vector_turned_by_the_cell_asked_for() -> None:
    signal = InstructionSignal(dim=16, heads=2, **GRID)
    vectors = signal(steps_of(torch.tensor([0, 9, 1]), first=0, count=3, batch_size=1))[0]
    assert vectors.shape == (6, 16)
    assert vectors[::2].count_nonzero() == 0
    torch.testing.assert_close(vectors[1], signal.vector.flatten())  # cell 0 turns nothing
    torch.testing.assert_close(vectors[1::2].norm(dim=1), signal.vector.norm().expand(3))
    assert not torch.allclose(vectors[1], vectors[3], atol=1e-3)


def test_instruction_rows_and_content_rows_turn_by_their_own_cells() -> None:
    signal, steps = (
        OwnRotarySignal(dim=16, heads=2, **GRID),
        steps_of(torch.tensor([7, 9]), first=0, count=2, batch_size=1),
    )
    rotation, (cosine, _) = signal(steps), signal.of_cell(torch.tensor([-1, 7, 7, 9]))
    for turned in (rotation.cosine[0, :, 0, 0], rotation.cosine[0, :, 1, 0]):  # queries and keys alike
        torch.testing.assert_close(turned, cosine)


def test_instruction_doubles_the_rows_of_the_blocks_and_nothing_outside() -> None:
    prior, rows = Prior(20, 3, 5, dim=16, depth=1, heads=2, signals=("instruction",)), []
    prior.blocks[0].register_forward_hook(lambda module, inputs, output: rows.append(output.shape[1]))
    assert prior(torch.randint(20, (2, 15)), torch.randperm(15)).shape == (2, 15, 20)
    cache = prior.new_cache(2)
    prior.advance(torch.randint(20, (2, 4)), torch.arange(15), cache, cells=torch.tensor([4, 5, 6]))
    assert rows == [30, 2 * 4 + 1 + 3]
    assert cache.length == 5


@pytest.mark.parametrize("signals", [("instruction", "target"), ("rotary", "instruction")])
def test_instruction_combines_with_no_other_signal(signals: tuple[str, str]) -> None:
    with pytest.raises(
        ValueError, match=r"signals must lay out steps alike, got .* rows a step and .*; use either alone"
    ):
        Prior(20, 3, 5, dim=16, depth=1, heads=2, signals=signals)
