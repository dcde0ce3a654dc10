import re

import pytest
import torch
from torch import nn

from vqgen.conditioning import AlignedGridConditioner, PrefixGridConditioner, SpatialConditioner


def make(kind: str, **options: object) -> SpatialConditioner:
    torch.manual_seed(0)
    if kind == "aligned":
        return AlignedGridConditioner(5, 2, 3, dim=4, **options)  # type: ignore[arg-type]
    return PrefixGridConditioner(5, 2, 3, dim=4, **options)  # type: ignore[arg-type]


def told(conditioner: SpatialConditioner, condition: torch.Tensor | None, batch_size: int = 4) -> torch.Tensor:
    found = conditioner(condition, batch_size)
    assert torch.equal(found.start, conditioner.start.expand(batch_size, -1))
    vectors = found.cells if found.prefix is None else found.prefix
    assert vectors is not None
    return vectors


both = pytest.mark.parametrize("kind", ["aligned", "prefix"])


@both
def test_a_grid_of_nothing_is_no_grid(kind: str) -> None:
    conditioner = make(kind).eval()
    nothing = told(conditioner, torch.full((4, 2, 3), -1))
    assert torch.equal(nothing, told(conditioner, None))
    assert not torch.equal(nothing, told(conditioner, torch.zeros(4, 2, 3, dtype=torch.int64)))


@both
def test_training_hides_whole_grids_and_evaluation_none(kind: str) -> None:
    conditioner = make(kind, condition_dropout=0.5)
    condition = torch.randint(5, (64, 2, 3))
    shown, nothing = told(conditioner.eval(), condition, 64), told(conditioner, None, 64)
    conditioner.train()
    seen = conditioner(condition, 64, torch.Generator().manual_seed(0))
    vectors = seen.cells if seen.prefix is None else seen.prefix
    is_shown, is_hidden = ((vectors == each).flatten(1).all(1) for each in (shown, nothing))
    assert bool((is_shown ^ is_hidden).all())
    assert 20 < int(is_hidden.sum()) < 44
    again = conditioner(condition, 64, torch.Generator().manual_seed(0))
    assert torch.equal(vectors, again.cells if again.prefix is None else again.prefix)


@both
def test_every_code_and_nothing_get_a_gradient(kind: str) -> None:
    conditioner = make(kind).eval()
    condition = torch.tensor([0, 1, 2, 3, 4, -1]).view(1, 2, 3)
    told(conditioner, condition, 1).square().sum().backward()
    gradient = conditioner.embedding.weight.grad
    assert gradient is not None
    assert bool((gradient.abs().sum(1) > 0).all())


@both
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            torch.zeros(4, 3, 2).long(),
            "expected a condition of shape (4, 2, 3), one grid of 2 x 3 for each of 4 images",
        ),
        (torch.zeros(3, 2, 3).long(), "got (3, 2, 3); see the conditioner's grid_height"),
        (torch.full((4, 2, 3), 5), "must be from -1 (none) to 4, got 5 to 5"),
        (torch.full((4, 2, 3), -2), "make the condition as in training, or set num_codes"),
    ],
)
def test_refuses_what_does_not_fit(kind: str, condition: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(kind)(condition, 4)


@both
def test_refuses_arguments_out_of_range(kind: str) -> None:
    with pytest.raises(ValueError, match=re.escape("condition_dropout must be a probability in [0, 1], got 1.5")):
        make(kind, condition_dropout=1.5)
    with pytest.raises(ValueError, match="num_codes must be >= 1, got num_codes=0"):
        PrefixGridConditioner(0, 2, 3, dim=4)


@both
def test_codes_of_like_latents_are_told_alike(kind: str) -> None:
    conditioner = make(kind).eval()
    nn.init.zeros_(conditioner.embedding.weight)
    conditioner.use_codebook(torch.tensor([[0.0, 1.0], [0.0, 1.1], [9.0, -4.0], [3.0, 2.0], [-5.0, 0.0]]))
    assert conditioner.code_dim == 2
    vectors = [told(conditioner, torch.full((1, 2, 3), code), 1) for code in (0, 1, 2)]
    assert (vectors[0] - vectors[1]).norm() < 0.1 * (vectors[0] - vectors[2]).norm()


@both
def test_codebook_survives_a_state_dict(kind: str) -> None:
    conditioner = make(kind).eval()
    conditioner.use_codebook(torch.randn(5, 3))
    copy = make(kind, code_dim=3).eval()
    condition = torch.randint(5, (4, 2, 3))
    assert not torch.equal(told(copy, condition), told(conditioner, condition))
    copy.load_state_dict(conditioner.state_dict())
    assert torch.equal(told(copy, condition), told(conditioner, condition))


def test_refuses_a_codebook_of_another_size() -> None:
    with pytest.raises(ValueError, match="expected the latents of 5 codes, got 6; pass the codebook of the tokenizer"):
        make("aligned").use_codebook(torch.randn(6, 3))
