import math

import pytest
import torch

from vqgen.metrics.likelihood import Likelihood, likelihood
from vqgen.orders import scan_order
from vqgen.prior import Prior


def lively_prior(num_classes: int = 0, dropout: float = 0.0) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 2, 3, num_classes, dim=16, depth=2, heads=2, dropout=dropout)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def test_an_untrained_prior_knows_nothing() -> None:
    result = likelihood(
        Prior(20, 2, 3, dim=16, depth=1, heads=2), torch.zeros(2, 6, dtype=torch.int64), torch.arange(6), downsampling=4
    )
    assert result.nats_per_code == pytest.approx(math.log(20), abs=1e-6)
    assert result.bits_per_dimension == pytest.approx(math.log2(20) / (4 * 4 * 3), abs=1e-6)


def test_likelihood_equals_a_loop_over_steps_and_lies_where_the_codes_do() -> None:
    prior, order = lively_prior(num_classes=4).eval(), scan_order("spiral-in", height=2, width=3)
    codes, labels = torch.randint(20, (3, 2, 3)), torch.tensor([0, -1, 3])
    sequence = order.scan(codes)
    result = likelihood(prior, sequence, order.positions, labels, downsampling=8)
    for image in range(3):
        for step, cell in enumerate(order.positions.tolist()):
            logits = prior(sequence[image : image + 1, : step + 1], order.positions, labels[image : image + 1])
            expected = -logits[0, step].log_softmax(0)[codes[image, cell // 3, cell % 3]]
            assert float(result.nats[image, cell // 3, cell % 3]) == pytest.approx(float(expected.detach()), abs=1e-4)


def test_likelihood_with_an_order_per_image_equals_one_image_at_a_time() -> None:
    prior, sequence = lively_prior(), torch.randint(20, (3, 6))
    positions = torch.stack([torch.randperm(6) for _ in range(3)])
    together = likelihood(prior, sequence, positions, downsampling=8)
    for image in range(3):
        alone = likelihood(prior, sequence[image : image + 1], positions[image], downsampling=8)
        torch.testing.assert_close(together.nats[image], alone.nats[0], atol=1e-5, rtol=1e-5)


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    prior = Prior(3, 1, 3, dim=8, depth=1, heads=1)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3), torch.arange(3))
    result = likelihood(prior, every, torch.tensor([1, 2, 0]), downsampling=1)
    assert float((-result.nats_per_image).exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_likelihood_summaries_follow_from_the_map() -> None:
    nats = torch.arange(12, dtype=torch.float64).reshape(2, 2, 3)
    result = Likelihood(nats, downsampling=2, channels=1)
    assert result.nats_per_code == 5.5
    assert result.bits_per_dimension == pytest.approx(5.5 / math.log(2) / 4)
    assert result.nats_per_image.tolist() == [15.0, 51.0]
    assert result.nats_per_cell.tolist() == [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]


@pytest.mark.parametrize("training", [True, False])
def test_likelihood_switches_dropout_off_and_leaves_the_mode_as_it_was(training: bool) -> None:
    prior = lively_prior(dropout=0.5).train(training)
    sequence = torch.randint(20, (2, 6))
    first, second = (likelihood(prior, sequence, torch.arange(6), downsampling=8) for _ in range(2))
    assert torch.equal(first.nats, second.nats)
    assert prior.training is training
    assert not first.nats.requires_grad


@pytest.mark.parametrize(
    ("length", "downsampling", "message"),
    [
        (5, 8, "fill the grid of 2 x 3 = 6 cells, got 5 codes and 5 positions"),
        (6, 0, "downsampling and channels must be >= 1, got downsampling=0 and channels=3"),
    ],
)
def test_likelihood_refuses_what_does_not_fill_the_grid(length: int, downsampling: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        likelihood(
            lively_prior(), torch.zeros(1, length, dtype=torch.int64), torch.arange(length), downsampling=downsampling
        )
