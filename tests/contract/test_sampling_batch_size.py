"""The image drawn for (seed, index) is the same whatever is drawn beside it."""

import pytest
import torch

from vqgen.prior import STYLES, Prior
from vqgen.sampling import guidance_ramp, sample_autoregressive

IMAGES, CELLS = 8, 9


def lively_prior(style: str, num_classes: int = 4) -> Prior:
    """A prior whose distributions are neither flat nor certain."""
    torch.manual_seed(0)
    prior = Prior(20, 3, 3, num_classes, dim=16, depth=2, heads=2, style=style)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


SETTINGS = {
    "plain": {},
    "top-k": {"temperature": 0.7, "top_k": 5},
    "top-p": {"top_p": 0.8},
    "guidance": {"top_k": 9, "top_p": 0.8, "guidance": 2.5},
    "ramp": {"guidance": guidance_ramp("linear", 4.0)},
    "greedy": {"temperature": 0.0},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("style", STYLES)
def test_batches_of_any_size_draw_the_same_images(style: str, settings: dict[str, object]) -> None:
    prior = lively_prior(style)
    positions, labels = torch.stack([torch.randperm(CELLS) for _ in range(IMAGES)]), torch.arange(IMAGES) % 4
    together = sample_autoregressive(prior, positions, labels, seed=5, **settings)
    for batch_size in (1, 3):
        apart = [
            sample_autoregressive(
                prior,
                positions[start : start + batch_size],
                labels[start : start + batch_size],
                seed=5,
                first_index=start,
                **settings,
            )
            for start in range(0, IMAGES, batch_size)
        ]
        assert torch.equal(torch.cat(apart), together)


def test_one_label_and_one_order_still_give_different_images() -> None:
    prior = lively_prior("llama")
    drawn = sample_autoregressive(prior, torch.arange(CELLS), torch.zeros(IMAGES, dtype=torch.int64), seed=5)
    assert len(drawn.unique(dim=0)) == IMAGES


def test_seeds_draw_different_images_and_a_seed_repeats_itself() -> None:
    prior = lively_prior("llama", num_classes=0)
    first, again, other = (
        sample_autoregressive(prior, torch.arange(CELLS), batch_size=4, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_drawing_leaves_the_global_random_state_alone() -> None:
    prior = lively_prior("gpt", num_classes=0)
    state = torch.get_rng_state()
    sample_autoregressive(prior, torch.arange(CELLS), batch_size=2)
    assert torch.equal(torch.get_rng_state(), state)
