"""Drawing where the prior is most certain, or least, equals a loop with a full forward pass for every empty cell."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from vqgen.prior import Prior
from vqgen.sampling import draw_codes, image_uniforms, sample_by_confidence

HEIGHT, WIDTH, CELLS, IMAGES = 3, 3, 9, 3


def lively_prior(num_classes: int = 0) -> Prior:
    """A prior whose distributions are neither flat nor certain, in double precision so that comparisons are exact."""
    torch.manual_seed(0)
    prior = Prior(20, HEIGHT, WIDTH, num_classes, dim=16, depth=2, heads=2).double()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.eval()


@torch.no_grad()
def naive_sample(
    prior: Prior,
    groups: Sequence[int],
    sign: float,
    labels: Tensor | None = None,
    scale: float = 1.0,
    known: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> tuple[Tensor, Tensor]:
    """One image after the other, one forward pass per empty cell."""
    uniforms = image_uniforms(4, first_index=0, batch_size=IMAGES, steps=CELLS)
    sequences, orders = [], []
    for image in range(IMAGES):
        codes, visited = [*known[0]], [*known[1]]
        label = None if labels is None else labels[image : image + 1]
        for size in groups:
            empty = [cell for cell in range(CELLS) if cell not in visited]
            answers = []
            for cell in empty:
                positions = torch.tensor([*visited, cell, *(other for other in empty if other != cell)])
                sequence = torch.tensor([[*codes, 0]])
                logits = prior(sequence, positions, label)[0, -1]
                if scale != 1.0:
                    plain = prior(sequence, positions)[0, -1]
                    logits = plain + scale * (logits - plain)
                answers.append(logits)
            entropy = [sign * float(torch.distributions.Categorical(logits=logits).entropy()) for logits in answers]
            chosen = sorted(range(len(empty)), key=lambda index: entropy[index])[:size]
            number = len(codes)
            for place, index in enumerate(chosen):
                codes.append(int(draw_codes(answers[index][None], uniforms[image, number + place][None])))
                visited.append(empty[index])
        sequences.append(codes)
        orders.append(visited)
    return torch.tensor(sequences), torch.tensor(orders)


@pytest.mark.parametrize("groups", [None, (1, 3, 5), (9,)])
@pytest.mark.parametrize(("order", "sign"), [("most-certain", 1.0), ("most-informative", -1.0)])
def test_drawn_equals_a_naive_loop(order: str, sign: float, groups: tuple[int, ...] | None) -> None:
    prior = lively_prior()
    drawn = sample_by_confidence(prior, order=order, groups=groups, batch_size=IMAGES, seed=4)
    sequence, positions = naive_sample(prior, groups or (1,) * CELLS, sign)
    assert torch.equal(drawn.positions, positions)
    assert torch.equal(drawn.sequence, sequence)


def test_orders_differ_between_the_two_rules_and_between_images() -> None:
    prior = lively_prior()
    certain, informative = (
        sample_by_confidence(prior, order=order, batch_size=IMAGES).positions
        for order in ("most-certain", "most-informative")
    )
    assert not torch.equal(certain, informative)
    assert len(certain.unique(dim=0)) > 1


def test_drawn_with_guidance_equals_two_explicit_passes() -> None:
    prior, labels = lively_prior(num_classes=3), torch.tensor([2, 0, 1])
    drawn = sample_by_confidence(prior, labels, groups=(2, 3, 4), guidance=3.0, seed=4)
    sequence, positions = naive_sample(prior, (2, 3, 4), 1.0, labels, scale=3.0)
    assert torch.equal(drawn.positions, positions)
    assert torch.equal(drawn.sequence, sequence)


@pytest.mark.parametrize("shared", [True, False])
def test_known_cells_are_kept_and_seen(shared: bool) -> None:
    prior, codes, cells = lively_prior(), [7, 3, 11], [4, 0, 8]
    positions = torch.tensor(cells) if shared else torch.tensor(cells).repeat(IMAGES, 1)
    prefix = torch.tensor(codes).repeat(IMAGES, 1)
    drawn = sample_by_confidence(prior, groups=(2, 4), prefix=prefix, positions=positions, seed=4)
    sequence, visited = naive_sample(prior, (2, 4), 1.0, known=(codes, cells))
    assert torch.equal(drawn.positions, visited)
    assert torch.equal(drawn.sequence, sequence)
    grid = drawn.codes(height=HEIGHT, width=WIDTH).flatten(1)
    assert torch.equal(grid[:, cells], prefix)
    assert torch.equal(grid.gather(1, drawn.positions), drawn.sequence)


def test_nothing_is_drawn_when_everything_is_known() -> None:
    prefix = torch.randint(20, (2, CELLS))
    drawn = sample_by_confidence(lively_prior(), prefix=prefix, positions=torch.randperm(CELLS))
    assert torch.equal(drawn.sequence, prefix)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "least-certain"}, "order must be one of most-certain, most-informative, got 'least-certain'"),
        ({"prefix": torch.zeros(2, 3).long()}, "a position for every code of the prefix, got 3 codes and 0 positions"),
        ({"groups": (4, 4)}, "sum to the 9 steps to draw, got 2 groups of 8 in all, the smallest 4"),
        (
            {"prefix": torch.zeros(2, 2).long(), "positions": torch.tensor([3, 3])},
            "visit each cell at most once, got a cell twice",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_by_confidence(lively_prior(), batch_size=2, **arguments)
