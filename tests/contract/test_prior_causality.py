"""Nothing at step t reaches back from later steps: neither their codes nor, for the codes' sake, where they will be."""

import pytest
import torch
from torch import Tensor, nn

from vqgen.prior import SIGNALS, STYLES, Prior

COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary"), ("step", "cell", "rotary")]
HEIGHT, WIDTH = 3, 4
CELLS = HEIGHT * WIDTH

every_signal = pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
every_style = pytest.mark.parametrize("style", STYLES)


def lively_prior(style: str, signals: tuple[str, ...]) -> Prior:
    """A prior whose every parameter matters: as built, its blocks add nothing and its logits are all zero."""
    torch.manual_seed(0)
    prior = Prior(20, HEIGHT, WIDTH, dim=16, depth=2, heads=2, style=style, signals=signals)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.5)
    return prior


def sequence_and_positions() -> tuple[Tensor, Tensor]:
    return torch.randint(20, (2, CELLS)), torch.stack([torch.randperm(CELLS), torch.randperm(CELLS)])


@every_signal
@every_style
def test_gradient_reaches_every_past_code_and_no_future_one(style: str, signals: tuple[str, ...]) -> None:
    prior = lively_prior(style, signals)
    sequence, positions = sequence_and_positions()
    embedded: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    prior.code_embedding.register_forward_hook(keep)
    logits = prior(sequence, positions)
    for step in range(CELLS):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), embedded[0], retain_graph=True)
        reached = gradient.abs().sum(dim=(0, 2)) > 0  # of the codes of steps 0 .. n - 2, the last one is never read
        assert reached.tolist() == [code < step for code in range(CELLS - 1)]


@every_signal
@every_style
@pytest.mark.parametrize("step", [0, 5, CELLS - 1])
def test_logits_do_not_depend_on_codes_from_their_step_on(style: str, signals: tuple[str, ...], step: int) -> None:
    prior = lively_prior(style, signals)
    sequence, positions = sequence_and_positions()
    changed = sequence.clone()
    changed[:, step:] = (changed[:, step:] + 1) % 20
    before, after = prior(sequence, positions), prior(changed, positions)
    assert torch.equal(before[:, : step + 1], after[:, : step + 1])
    if step < CELLS - 1:
        assert not torch.equal(before[:, step + 1 :], after[:, step + 1 :])


@every_signal
@every_style
@pytest.mark.parametrize("step", [0, 5, CELLS - 3])
def test_logits_do_not_depend_on_positions_after_their_step(style: str, signals: tuple[str, ...], step: int) -> None:
    prior = lively_prior(style, signals)
    sequence, positions = sequence_and_positions()
    changed = positions.clone()
    changed[:, step + 1 :] = changed[:, step + 1 :].flip(1)
    before, after = prior(sequence, positions), prior(sequence, changed)
    assert torch.equal(before[:, : step + 1], after[:, : step + 1])


@every_style
@pytest.mark.parametrize(
    "signals",
    [("target",), ("rotary",), ("target", "rotary"), ("instruction",), ("double",), ("shaw",), ("relative",)],
    ids="+".join,
)
def test_logits_depend_on_the_cell_to_be_predicted(style: str, signals: tuple[str, ...]) -> None:
    prior = lively_prior(style, signals)
    sequence, positions = sequence_and_positions()
    changed = positions.clone()
    changed[:, -2:] = changed[:, -2:].flip(1)
    before, after = prior(sequence, positions), prior(sequence, changed)
    assert not torch.allclose(before[:, -2], after[:, -2], atol=1e-3)


@every_signal
@every_style
def test_logits_of_a_shorter_sequence_are_the_beginning_of_the_longer_ones(
    style: str, signals: tuple[str, ...]
) -> None:
    prior = lively_prior(style, signals)
    sequence, positions = sequence_and_positions()
    torch.testing.assert_close(prior(sequence[:, :5], positions), prior(sequence, positions)[:, :5])
