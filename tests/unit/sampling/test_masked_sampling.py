import pytest
import torch
from torch import Tensor

from vqgen.prior import MaskedPrior
from vqgen.sampling import (
    UNKNOWN,
    draw_codes,
    group_sizes,
    guidance_ramp,
    guide,
    image_uniforms,
    sample_masked,
)

HEIGHT, WIDTH, CELLS = 3, 4, 12


def lively_prior(num_classes: int = 3, **settings: object) -> MaskedPrior:
    """In double precision, so that rounding decides no code."""
    torch.manual_seed(0)
    prior = MaskedPrior(20, HEIGHT, WIDTH, num_classes, dim=16, depth=2, heads=2, **settings)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior.double().eval()


def known_grid(*counts: int) -> Tensor:
    """Grids of which so many cells are known, at random."""
    grids = torch.randint(20, (len(counts), CELLS))
    for grid, count in zip(grids, counts, strict=True):
        grid[torch.randperm(CELLS)[count:]] = UNKNOWN
    return grids.view(-1, HEIGHT, WIDTH)


def drawn_in_a_loop(prior: MaskedPrior, label: int, known: Tensor, *, steps: int, heat: float, seed: int) -> Tensor:
    """MaskGIT's decoding of one image, a step and a cell at a time, with guidance by a linear ramp to 3."""
    codes, hidden = known.flatten().clone(), known.flatten() == UNKNOWN
    sizes = group_sizes(int(hidden.sum()), steps)
    noise = image_uniforms(seed, first_index=0, batch_size=1, steps=2 * CELLS * steps).view(steps, 2, CELLS)
    ramp = guidance_ramp("linear", 3.0)
    for step, size in enumerate(sizes):
        grids = [tensor.view(1, HEIGHT, WIDTH) for tensor in (codes.clamp_min(0), hidden)]
        told, untold = (prior(*grids, torch.tensor([each])).flatten(1, 2)[0] for each in (label, -1))
        logits = guide(told, untold, ramp((CELLS - int(hidden.sum())) / (CELLS - 1)))
        scores, drawn = {}, {}
        for cell in hidden.nonzero()[:, 0].tolist():
            probability = logits[cell].softmax(0)
            drawn[cell] = int((probability.cumsum(0) > noise[step, 0, cell]).int().argmax())
            gumbel = -torch.log(-torch.log(noise[step, 1, cell]))
            scores[cell] = float(probability[drawn[cell]].log() + heat * (1 - (step + 1) / steps) * gumbel)
        for cell in sorted(scores, key=lambda cell: -scores[cell])[:size]:
            codes[cell], hidden[cell] = drawn[cell], False
    return codes.view(HEIGHT, WIDTH)


@pytest.mark.parametrize("steps", [1, 3, 5, 8])
@pytest.mark.parametrize("heat", [0.0, 4.5])
def test_it_draws_what_a_loop_over_cells_draws(steps: int, heat: float) -> None:
    prior, known = lively_prior(), known_grid(4)
    with torch.inference_mode():
        expected = drawn_in_a_loop(prior, 2, known[0], steps=steps, heat=heat, seed=7)
    settings = {"steps": steps, "choice_temperature": heat, "guidance": guidance_ramp("linear", 3.0), "seed": 7}
    assert torch.equal(sample_masked(prior, torch.tensor([2]), known=known, **settings)[0], expected)


def test_one_step_draws_every_code_by_itself() -> None:
    prior = lively_prior(num_classes=0)
    grid, hidden = torch.zeros(5, HEIGHT, WIDTH).long(), torch.ones(5, HEIGHT, WIDTH).bool()
    logits = prior(grid, hidden).flatten(1, 2)
    noise = image_uniforms(4, first_index=0, batch_size=5, steps=2 * CELLS)[:, :CELLS]
    drawn = sample_masked(prior, steps=1, batch_size=5, seed=4)
    assert torch.equal(drawn.flatten(1), draw_codes(logits, noise))


def test_as_many_steps_as_cells_keep_one_at_a_time_and_keep_it() -> None:
    seen: list[Tensor] = []
    drawn = sample_masked(
        lively_prior(), steps=CELLS, batch_size=2, on_step=lambda step, codes: seen.append(codes.clone())
    )
    for step, codes in enumerate(seen):
        assert (codes != UNKNOWN).sum(dim=(1, 2)).tolist() == [step + 1] * 2
        assert torch.equal(codes[codes != UNKNOWN], drawn[codes != UNKNOWN])
    assert torch.equal(seen[-1], drawn)


def test_steps_keep_as_many_cells_as_the_schedule_says() -> None:
    counts: list[int] = []
    sample_masked(
        lively_prior(), steps=4, schedule="linear", batch_size=1, on_step=lambda _, codes: counts.append(codes)
    )
    assert [int((codes != UNKNOWN).sum()) for codes in counts] == [3, 6, 9, 12]
    counts.clear()
    sample_masked(lively_prior(), steps=(1, 2, 9), batch_size=1, on_step=lambda _, codes: counts.append(codes))
    assert [int((codes != UNKNOWN).sum()) for codes in counts] == [1, 3, 12]


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_known_cells_are_kept_and_the_argument_is_not_written_into(steps: int) -> None:
    prior, known = lively_prior(), known_grid(0, 3, 11, 12)
    before = known.clone()
    drawn = sample_masked(prior, known=known, steps=steps)
    assert torch.equal(drawn[known != UNKNOWN], known[known != UNKNOWN])
    assert drawn.min() >= 0
    assert torch.equal(known, before)


def test_an_image_belongs_to_seed_and_index_whatever_is_drawn_beside_it() -> None:
    prior, known, labels = lively_prior(), known_grid(0, 0, 5, 9, 12), torch.tensor([0, 1, 2, -1, 0])
    settings = {"steps": 5, "guidance": guidance_ramp("cosine", 2.5), "top_k": 12, "top_p": 0.95, "seed": 3}
    together = sample_masked(prior, labels, known=known, **settings)
    for size in (1, 2, 3):
        parts = [
            sample_masked(prior, labels[at : at + size], known=known[at : at + size], first_index=at, **settings)
            for at in range(0, 5, size)
        ]
        assert torch.equal(torch.cat(parts), together)
    assert not torch.equal(sample_masked(prior, labels, known=known, **settings | {"seed": 4}), together)
    assert not torch.equal(together[0], together[1])


def test_guidance_of_one_is_none_and_of_zero_forgets_the_condition() -> None:
    prior, labels = lively_prior(), torch.tensor([0, 1, 2])
    plain = sample_masked(prior, labels, steps=4)
    assert torch.equal(sample_masked(prior, labels, steps=4, guidance=lambda _: 1.0), plain)
    untold = sample_masked(prior, None, steps=4, batch_size=3)
    assert torch.equal(sample_masked(prior, labels, steps=4, guidance=0.0), untold)
    assert not torch.equal(plain, untold)


def test_without_any_temperature_the_seed_does_not_matter() -> None:
    def first_kept(choice_temperature: float, seed: int) -> list[bool]:
        """Which cells the first of four steps keeps."""
        seen: list[Tensor] = []
        sample_masked(
            lively_prior(),
            steps=4,
            batch_size=1,
            temperature=0.0,
            choice_temperature=choice_temperature,
            seed=seed,
            on_step=lambda _, codes: seen.append(codes != UNKNOWN),
        )
        return seen[0].flatten().tolist()

    assert first_kept(0.0, seed=0) == first_kept(0.0, seed=1)
    assert first_kept(4.5, seed=0) != first_kept(4.5, seed=1)


def test_only_the_likeliest_codes_survive_top_k() -> None:
    prior = lively_prior(num_classes=0)
    hidden = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    likeliest = prior(torch.zeros(1, HEIGHT, WIDTH).long(), hidden).argmax(dim=-1)
    assert torch.equal(sample_masked(prior, steps=1, batch_size=1, top_k=1), likeliest)


def test_drawing_leaves_the_prior_in_training_mode_and_ignores_its_dropout() -> None:
    prior = lively_prior(dropout=0.3, label_dropout=0.9).train()
    first, second = (sample_masked(prior, torch.tensor([1, 2]), steps=3) for _ in range(2))
    assert prior.training
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0; 1 draws all codes at once"),
        ({"steps": (3, 4)}, "sum to the 12 steps to draw, got 2 groups of 7"),
        ({"choice_temperature": -1.0}, "choice_temperature must be >= 0 and finite, got -1.0"),
        ({"temperature": -1.0}, "temperature must be >= 0 and finite"),
        ({"known": torch.zeros(2, 4, 3).long()}, r"known must be grids of 3 x 4 codes, got \(4, 3\)"),
        ({"known": torch.full((2, 3, 4), 20)}, "codes from 0 to 19, or -1 where a code is to be drawn, got 20 to 20"),
        ({"known": torch.zeros(3, 3, 4).long()}, "one number of images, got 2 from batch_size, 3 from prefix"),
        ({"guidance": 2.0}, "guidance needs a condition"),
        ({"schedule": "sine"}, "schedule must be one of cosine, linear"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_masked(lively_prior(), **{"batch_size": 2, "steps": 4, **arguments})


def test_logits_that_are_not_finite_are_refused() -> None:
    prior = lively_prior()
    torch.nn.init.constant_(prior.head.weight, torch.nan)
    with pytest.raises(ValueError, match="expected finite logits from the prior, got NaN or infinity"):
        sample_masked(prior, steps=2, batch_size=1)
