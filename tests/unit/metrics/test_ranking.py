import pytest
import torch

from vqgen.metrics import Ranking, information, log_likelihoods, rank_captions
from vqgen.prior import MaskedPrior, Prior


def prior_that_knows(images: int) -> Prior:
    """Class c makes code c likelier in every cell."""
    prior = Prior(images, 2, 2, images, dim=images, depth=1, heads=1, signals=("step",), style="gpt")
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.zero_()
        prior.final_norm.weight.fill_(1.0)
        prior.conditioner.embedding.weight[:images] = torch.eye(images)
        prior.head.weight.copy_(torch.eye(images))
    return prior


def test_likelihoods_are_sums_over_the_cells_in_any_order_and_batch() -> None:
    torch.manual_seed(0)
    prior = Prior(16, 2, 3, num_classes=3, dim=8, depth=1, heads=1).eval()
    torch.nn.init.normal_(prior.head.weight)
    torch.nn.init.normal_(prior.conditioner.embedding.weight)
    codes, labels, positions = torch.randint(16, (5, 2, 3)), torch.tensor([0, 1, 2, -1, 0]), torch.randperm(6)
    expected = -prior.nll(codes, positions.expand(5, -1), labels).sum(dim=1)
    for batch_size in (2, 64):
        found = log_likelihoods(prior, codes, labels, positions=positions, batch_size=batch_size)
        torch.testing.assert_close(found.float(), expected, atol=1e-4, rtol=0.0)
    told = information(prior, codes, labels, positions=positions)
    untold = -prior.nll(codes, positions.expand(5, -1), None).sum(dim=1)
    torch.testing.assert_close(told.float(), expected - untold, atol=1e-4, rtol=0.0)
    assert float(told[3]) == 0.0  # nothing was told


def test_a_masked_prior_is_scored_by_the_same_views_for_every_condition() -> None:
    prior, codes = MaskedPrior(16, 2, 3, num_classes=3, dim=8, depth=1, heads=1), torch.randint(16, (2, 2, 3))
    assert information(prior, codes, torch.tensor([0, 1])).tolist() == [0.0, 0.0]  # untrained, so it knows no class


def test_a_prior_that_knows_ranks_first_and_one_that_does_not_by_chance() -> None:
    codes = torch.arange(8)[:, None, None].expand(-1, 2, 2)
    for by in ("information", "likelihood", "caption"):
        ranking = rank_captions(prior_that_knows(8), codes, torch.arange(8), by=by, candidates=8)
        assert ranking.ranks.tolist() == [1.0] * 8
        assert ranking.first == 1.0
    untrained = Prior(8, 2, 2, num_classes=8, dim=8, depth=1, heads=1)
    for by in ("information", "likelihood", "caption"):
        ranking = rank_captions(untrained, codes, torch.arange(8), by=by, candidates=5)
        assert ranking.mean == ranking.chance == 3.0
        assert ranking.first == 0.0


def test_candidates_are_others_drawn_by_the_seed() -> None:
    torch.manual_seed(0)
    prior = Prior(16, 2, 2, num_classes=20, dim=8, depth=1, heads=1).eval()
    torch.nn.init.normal_(prior.head.weight)
    torch.nn.init.normal_(prior.conditioner.embedding.weight)
    codes, labels = torch.randint(16, (20, 2, 2)), torch.arange(20)
    ranks = [rank_captions(prior, codes, labels, candidates=6, seed=seed).ranks for seed in (1, 1, 2)]
    assert torch.equal(ranks[0], ranks[1])
    assert not torch.equal(ranks[0], ranks[2])
    everybody = rank_captions(prior, codes, labels, candidates=20, by="caption")
    table = torch.stack([log_likelihoods(prior, codes, torch.full((20,), label)) for label in range(20)])
    expected = 1 + (table > table.diagonal()).sum(dim=0)
    torch.testing.assert_close(everybody.ranks, expected.double())


def test_a_ranking_says_what_is_wrong_and_how_sure_it_is() -> None:
    low, high = Ranking(torch.tensor([1.0, 9.0] * 50), candidates=10).interval()
    assert 4.0 < low < 5.0 < high < 6.0
    prior, codes = Prior(16, 2, 2, num_classes=4, dim=8, depth=1, heads=1), torch.zeros(4, 2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="from 2 to 4 candidates, got 4 captions, 4 images and candidates=5"):
        rank_captions(prior, codes, torch.arange(4), candidates=5)
    with pytest.raises(ValueError, match="by must be information, likelihood or caption, got 'luck'"):
        rank_captions(prior, codes, torch.arange(4), by="luck", candidates=2)
