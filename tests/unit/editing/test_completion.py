import pytest
import torch

from vqgen.editing import complete_codes, complete_larger, plan_windows
from vqgen.editing.completion import alike
from vqgen.editing.larger import window_seed
from vqgen.orders import scan_order
from vqgen.prior import Prior
from vqgen.sampling import sample_autoregressive


def lively_prior(height: int = 3, width: int = 3, num_classes: int = 0) -> Prior:
    torch.manual_seed(0)
    prior = Prior(12, height, width, num_classes, dim=16, depth=2, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior


def masks(count: int, height: int = 3, width: int = 3) -> torch.Tensor:
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(1)) < 0.5


def test_known_codes_are_kept_and_unknown_ones_are_not_read():
    prior, codes, unknown = lively_prior(), torch.randint(12, (6, 3, 3)), masks(6)
    order = scan_order("spiral-in", height=3, width=3)
    drawn = complete_codes(prior, codes, unknown, order, seed=3)
    assert torch.equal(drawn[~unknown], codes[~unknown])
    other = torch.where(unknown, torch.randint(12, codes.shape), codes)
    assert torch.equal(complete_codes(prior, other, unknown, order, seed=3), drawn)
    assert not torch.equal(complete_codes(prior, codes, unknown, order, seed=4), drawn)


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in():
    prior, codes, unknown = lively_prior(num_classes=4), torch.randint(12, (6, 3, 3)), masks(6)
    order, labels = scan_order("hilbert", height=3, width=3), torch.arange(6) % 4
    together = complete_codes(prior, codes, unknown, order, labels, seed=3)
    assert torch.equal(together, complete_codes(prior, codes, unknown, order, labels, seed=3, batch_size=1))
    assert torch.equal(together[:2], complete_codes(prior, codes[:2], unknown[:2], order, labels[:2], seed=3))


def test_a_beginning_is_completed_as_the_sampler_does():
    prior, codes = lively_prior(), torch.randint(12, (4, 3, 3))
    order = scan_order("column", height=3, width=3)
    unknown = (order.steps >= 4).view(3, 3).expand(4, 3, 3)
    expected = sample_autoregressive(prior, order.positions, prefix=order.scan(codes)[:, :4], seed=7)
    assert torch.equal(order.scan(complete_codes(prior, codes, unknown, order, fixed=True, seed=7)), expected)


def test_the_likeliest_code_is_that_of_the_prior_given_the_known_cells():
    prior, codes = lively_prior(), torch.randint(12, (1, 3, 3))
    unknown = torch.zeros(1, 3, 3, dtype=torch.bool)
    unknown[0, 1, 1] = True
    drawn = complete_codes(prior, codes, unknown, scan_order("raster", height=3, width=3), temperature=0.0)
    positions = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8, 4])
    logits = prior(codes.flatten(1)[:, positions], positions)
    assert int(drawn[0, 1, 1]) == int(logits[0, -1].argmax())


def test_several_cells_a_step_spare_passes_and_keep_what_is_known():
    prior, codes, unknown = lively_prior(), torch.randint(12, (4, 3, 3)), masks(4)
    order, passes = scan_order("halton", height=3, width=3), []
    drawn = complete_codes(
        prior, codes, unknown, order, steps=2, seed=3, batch_size=1, on_step=lambda step, _: passes.append(step)
    )
    assert len(passes) == 2 * 4
    assert torch.equal(drawn[~unknown], codes[~unknown])
    single = complete_codes(prior, codes, unknown, order, seed=3)
    assert torch.equal(complete_codes(prior, codes, unknown, order, steps=9, seed=3), single)
    assert not torch.equal(drawn, single)


@pytest.mark.parametrize(("steps", "fixed"), [(0, False), (3, True)])
def test_steps_that_make_no_sense_are_refused(steps, fixed):
    codes, order = torch.zeros(1, 3, 3, dtype=torch.int64), scan_order("raster", height=3, width=3)
    with pytest.raises(ValueError, match="steps must be >= 1, and is for priors trained with order random-per-sample"):
        complete_codes(lively_prior(), codes, codes == 0, order, steps=steps, fixed=fixed)


@pytest.mark.parametrize(("by_confidence", "sign"), [("most-certain", 1), ("most-informative", -1)])
def test_by_confidence_the_first_unknown_cell_is_the_one_the_prior_chooses(by_confidence, sign):
    prior, codes = lively_prior(), torch.randint(12, (1, 3, 3))
    unknown = torch.tensor([[[False, True, True], [False, True, False], [False, False, False]]])
    order = scan_order("raster", height=3, width=3)
    known, holes = [0, 3, 5, 6, 7, 8], [1, 2, 4]
    drawn = complete_codes(prior, codes, unknown, order, by_confidence=by_confidence, temperature=0.0)
    assert torch.equal(drawn[~unknown], codes[~unknown])
    answers = []
    for hole in holes:
        positions = torch.tensor([*known, hole])
        answers.append(prior(codes.flatten(1)[:, positions], positions)[0, -1].detach())
    first = min(
        range(3), key=lambda hole: sign * float(torch.distributions.Categorical(logits=answers[hole]).entropy())
    )
    assert int(drawn.flatten()[holes[first]]) == int(answers[first].argmax())


def test_a_prior_of_one_order_does_not_choose_the_next_cell():
    codes, order = torch.zeros(1, 3, 3, dtype=torch.int64), scan_order("raster", height=3, width=3)
    with pytest.raises(ValueError, match="knows the order 'raster' only and cannot choose the next cell, got 'most-ce"):
        complete_codes(lively_prior(), codes, codes == 0, order, fixed=True, by_confidence="most-certain")


def test_nothing_unknown_gives_the_codes_back():
    codes = torch.randint(12, (2, 3, 3))
    unknown = torch.zeros(2, 3, 3, dtype=torch.bool)
    assert torch.equal(complete_codes(lively_prior(), codes, unknown, scan_order("raster", height=3, width=3)), codes)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_each_large_cell_is_drawn_from_the_known_cells_of_its_window(one_by_one):
    prior, order = lively_prior(), scan_order("hilbert", height=5, width=6)
    codes, unknown = torch.randint(12, (1, 5, 6)), masks(1, 5, 6)
    drawn = complete_larger(prior, codes, unknown, order, margin=1, one_by_one=one_by_one, temperature=0.0)
    assert torch.equal(drawn[~unknown], codes[~unknown])
    runs = plan_windows(order, height=3, width=3, margin=1, one_by_one=one_by_one, known=~unknown[0])
    for run in runs:
        seen = list(run.context)
        for cell in run.cells:
            cells = torch.tensor([*seen, cell])
            positions = (cells // 6 - run.top) * 3 + cells % 6 - run.left
            logits = prior(drawn.flatten(1)[:, cells], positions)
            assert int(drawn.flatten()[cell]) == int(logits[0, -1].argmax())
            seen.append(cell)


def test_a_large_image_does_not_depend_on_the_batch():
    prior, order = lively_prior(num_classes=4), scan_order("raster", height=5, width=6)
    codes, labels = torch.randint(12, (4, 5, 6)), torch.tensor([0, 1, 2, -1])
    unknown = masks(2, 5, 6)[[0, 0, 1, 0]]
    given = codes.clone()
    together = complete_larger(prior, codes, unknown, order, labels, seed=3)
    assert torch.equal(codes, given)
    assert torch.equal(together, complete_larger(prior, codes, unknown, order, labels, seed=3, batch_size=1))
    assert torch.equal(together[:1], complete_larger(prior, codes[:1], unknown[:1], order, labels[:1], seed=3))
    assert not torch.equal(together, complete_larger(prior, codes, unknown, order, labels, seed=4))


def test_windows_do_not_share_their_noise():
    prior = Prior(997, 2, 2, dim=8, depth=1, heads=1)  # untrained: a code is the noise by another name
    order = scan_order("raster", height=2, width=40)
    unknown = torch.ones(1, 2, 40, dtype=torch.bool)
    drawn = complete_larger(prior, torch.zeros(1, 2, 40, dtype=torch.int64), unknown, order, one_by_one=True)
    assert len(set(drawn.flatten().tolist())) > 70
    assert len({window_seed(seed, index) for seed in range(30) for index in range(30)}) == 900


def test_a_prior_of_one_order_fills_larger_grids_as_it_would_its_own():
    prior, order = lively_prior(), scan_order("raster", height=3, width=3)
    unknown, codes = torch.ones(2, 3, 3, dtype=torch.bool), torch.zeros(2, 3, 3, dtype=torch.int64)
    drawn = complete_larger(prior, codes, unknown, order, own=order, seed=2)
    expected = sample_autoregressive(prior, order.positions, batch_size=2, seed=window_seed(2, 0))
    assert torch.equal(drawn.flatten(1), expected)


def test_a_ramp_of_guidance_follows_the_whole_picture():
    seen: list[float] = []

    def ramp(progress: float) -> float:
        seen.append(progress)
        return 1.0 + progress

    prior, order = lively_prior(num_classes=4), scan_order("raster", height=3, width=9)
    unknown, codes = torch.ones(1, 3, 9, dtype=torch.bool), torch.zeros(1, 3, 9, dtype=torch.int64)
    complete_larger(prior, codes, unknown, order, torch.tensor([1]), one_by_one=True, guidance=ramp)
    assert seen == pytest.approx([index / 26 for index in range(27)])


def test_a_residual_grid_and_an_empty_batch_size_are_refused():
    order, codes = scan_order("raster", height=5, width=3), torch.zeros(1, 5, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="one code a cell, got 2"):
        complete_larger(lively_prior(), codes, codes == 0, order, depth=2)
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        list(alike([1], 0))
