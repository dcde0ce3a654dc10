import pytest
import torch

from vqgen.conditioning import (
    LabelConditioner,
    PrefixGridConditioner,
    TextEncoder,
    Unconditional,
    condition_of,
    train_vocabulary,
)

LABELS = LabelConditioner(3, dim=8)
WORDS = TextEncoder(train_vocabulary(["red apple"] * 2), 8, length=4, heads=2)
GRID = PrefixGridConditioner(16, dim=8, grid_height=2, grid_width=2)


def test_classes_are_asked_for_by_name_or_number_for_all_or_each() -> None:
    names = ("dog", "cat", "owl")
    assert condition_of("owl", 2, LABELS, names).tolist() == [2, 2]
    assert condition_of(["cat", 0, "-1"], 3, LABELS, names).tolist() == [1, 0, -1]
    assert condition_of(torch.tensor([1, -1]), 2, LABELS).tolist() == [1, -1]
    assert condition_of(None, 2, LABELS) is None


def test_prompts_are_asked_for_as_texts_or_tokens() -> None:
    tokens = WORDS.tokens(["red apple"])
    assert torch.equal(condition_of("Red apple", 2, WORDS), tokens.expand(2, -1))
    assert torch.equal(condition_of(["red apple", ""], 2, WORDS), WORDS.tokens(["red apple", ""]))
    assert torch.equal(condition_of(tokens, 3, WORDS), tokens.expand(3, -1))


def test_grids_are_asked_for_as_tensors() -> None:
    grid = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert condition_of(grid, 3, GRID).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("asked", "conditioner", "message"),
    [
        ("cat", Unconditional(8), "trained without classes; leave the condition out"),
        ("cow", LABELS, "unknown class 'cow'; expected one of: 0 to 2"),
        (["1", "2", "0"], LABELS, "one for each of 2 images, got 3"),
        (3, WORDS, r"told captions, got \[3, 3\]; pass texts"),
        ("red apple", GRID, "told a grid for each image"),
        (torch.zeros(3, 4, dtype=torch.int64), WORDS, "one for each of 2 images, got 3"),
    ],
)
def test_what_a_prior_does_not_know_is_refused(asked, conditioner, message) -> None:
    with pytest.raises(ValueError, match=message):
        condition_of(asked, 2, conditioner)
