import pytest
import torch

from vqgen.prior.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(probability)(torch.ones(401, 250))
    values = dropped.unique()
    assert values.tolist() == pytest.approx([0.0, 1.0 / (1.0 - probability)], rel=1e-3)
    assert (dropped == 0.0).float().mean().item() == pytest.approx(probability, abs=0.006)
    for place in range(4):  # of the four features that share a number
        assert (dropped.flatten()[place::4] == 0.0).float().mean().item() == pytest.approx(probability, abs=0.012)


def test_dropout_passes_gradients_where_it_passed_features() -> None:
    features = torch.ones(7, 5, requires_grad=True)
    dropped = Dropout(0.5)(features)
    dropped.sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, dropped.detach())


def test_dropout_follows_the_global_seed() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(Dropout(0.5)(torch.ones(100)))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dropout_does_nothing_outside_training_or_at_probability_zero() -> None:
    features = torch.randn(3, 4)
    assert Dropout(0.5).eval()(features) is features
    assert Dropout(0.0)(features) is features
