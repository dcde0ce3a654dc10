import pytest
import torch

from vqgen.metrics import likelihood_bound
from vqgen.prior import MaskedPrior


def lively_prior(height: int = 2, width: int = 3) -> MaskedPrior:
    torch.manual_seed(0)
    prior = MaskedPrior(20, height, width, num_classes=2, dim=16, depth=2, heads=2, dropout=0.3)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def test_with_every_subset_as_often_it_is_the_mean_over_orders() -> None:
    """On two cells there are two orders: either comes first, and the other is predicted from it."""
    prior, codes = lively_prior(1, 2).eval(), torch.randint(20, (1, 1, 2))
    views = torch.tensor([[[[True, True]]], [[[True, False]]], [[[False, True]]]])
    both, first, second = (prior.nats(codes, view) for view in views)
    exact = both.sum() / 2 + (first + second).sum() / 2
    found = likelihood_bound(prior, codes.expand(1000, -1, -1), downsampling=8, passes=2)
    assert found.nats_per_image.mean().item() == pytest.approx(exact.item(), rel=0.05)


def test_an_image_is_scored_alike_in_any_company_and_at_every_call() -> None:
    prior, codes, labels = lively_prior(), torch.randint(20, (4, 2, 3)), torch.tensor([0, 1, -1, 0])
    together = likelihood_bound(prior, codes, labels, downsampling=8, passes=5)
    alone = likelihood_bound(prior, codes[:2], labels[:2], downsampling=8, passes=5)
    torch.testing.assert_close(together.nats[:2], alone.nats)
    other = likelihood_bound(prior, codes, labels, downsampling=8, passes=5, seed=1)
    assert not torch.allclose(together.nats, other.nats)
    assert prior.training  # and its dropout was not in the way


def test_as_many_passes_as_cells_hide_every_number_of_cells_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, seen = lively_prior(), []
    monkeypatch.setattr(prior, "nats", lambda codes, masked, _: seen.append(masked.sum(dim=(1, 2))) or codes.float())
    likelihood_bound(prior, torch.randint(20, (3, 2, 3)), downsampling=8, passes=6)
    assert torch.stack(seen).sort(dim=0).values.T.tolist() == [[1, 2, 3, 4, 5, 6]] * 3


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 1, got downsampling=8, channels=3 and passes=0"):
        likelihood_bound(lively_prior(), torch.zeros(1, 2, 3).long(), downsampling=8, passes=0)
