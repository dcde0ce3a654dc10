import pytest
import torch

from vqgen.prior import Prior
from vqgen.sampling import sample_groups

CELLS = 6


def lively_prior(num_classes: int = 0) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 2, 3, num_classes, dim=16, depth=2, heads=2, dropout=0.2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def test_on_step_is_called_once_a_group_with_all_codes_so_far() -> None:
    prior, seen, prefix = lively_prior(), [], torch.tensor([[3], [5]])
    drawn = sample_groups(
        prior,
        torch.arange(CELLS),
        groups=(1, 3, 1),
        prefix=prefix,
        on_step=lambda step, so_far: seen.append((step, so_far.clone())),
    )
    assert [step for step, _ in seen] == [1, 4, 5]
    assert all(torch.equal(so_far, drawn[:, : step + 1]) for step, so_far in seen)


def test_a_pass_takes_the_codes_of_the_last_group_but_one_and_the_cells_of_the_next() -> None:
    prior, rows = lively_prior(), []
    prior.final_norm.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[1]))
    sample_groups(prior, torch.arange(CELLS), groups=(2, 3, 1), batch_size=1)
    assert rows == [2, 1 + 3, 2 + 1]


def test_drawing_leaves_the_prior_in_training_mode_and_ignores_its_dropout() -> None:
    prior = lively_prior().train()
    first, second = (sample_groups(prior, torch.arange(CELLS), groups=(2, 4), batch_size=2) for _ in range(2))
    assert prior.training
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": (2, 3)}, "sum to the 6 steps to draw, got 2 groups of 5 in all, the smallest 2; see group_sizes"),
        ({"groups": (0, 6)}, "sizes >= 1 that sum to the 6 steps to draw, got 2 groups of 6 in all, the smallest 0"),
        ({"groups": (6,), "prefix": torch.zeros(2, 2).long()}, "sum to the 4 steps to draw, got 1 groups of 6"),
        ({"groups": (6,), "guidance": 2.0}, "guidance needs a condition to move towards, got none"),
    ],
)
def test_sample_groups_refuses_arguments_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_groups(lively_prior(num_classes=3), torch.arange(CELLS), batch_size=2, **arguments)


def test_a_prior_whose_training_diverged_is_refused() -> None:
    prior = lively_prior()
    with torch.no_grad():
        prior.head.weight[3] = torch.nan
    with pytest.raises(ValueError, match="expected finite logits from the prior, got NaN or infinity"):
        sample_groups(prior, torch.arange(CELLS), groups=(2, 4), batch_size=2)
