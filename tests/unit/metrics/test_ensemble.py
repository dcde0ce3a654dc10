import math

import pytest
import torch

from vqgen.metrics import EnsembleLikelihood, Likelihood, ensemble_likelihood, likelihood
from vqgen.orders import scan_order
from vqgen.prior import Prior

NAMES = ("raster", "spiral-in", "column")


def lively_prior(codebook_size: int = 20, height: int = 2, width: int = 3) -> Prior:
    torch.manual_seed(0)
    prior = Prior(codebook_size, height, width, 4, dim=16, depth=2, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def orders(height: int = 2, width: int = 3):
    return [scan_order(name, height=height, width=width) for name in NAMES]


def test_the_mixture_is_the_mean_of_the_orders_probabilities():
    prior, codes, labels = lively_prior(), torch.randint(20, (3, 2, 3)), torch.tensor([0, -1, 3])
    found = ensemble_likelihood(prior, codes, orders(), labels, downsampling=8)
    each = [
        likelihood(prior, order.scan(codes), order.positions, labels, downsampling=8).nats_per_image
        for order in orders()
    ]
    for image in range(3):
        expected = -math.log(sum(math.exp(-float(nats[image])) for nats in each) / 3)
        assert float(found.nats_per_image[image]) == pytest.approx(expected, rel=1e-9)


def test_the_mixture_is_a_distribution_over_grids():
    prior = lively_prior(codebook_size=3, height=1, width=3)
    every = torch.cartesian_prod(*[torch.arange(3)] * 3).view(-1, 1, 3)
    found = ensemble_likelihood(prior, every, [scan_order("random", height=1, width=3, seed=s) for s in (0, 1)],
                                downsampling=1)  # fmt: skip
    assert float((-found.nats_per_image).exp().sum()) == pytest.approx(1.0, abs=1e-5)
    assert found.members[0].nats_per_code != pytest.approx(found.members[1].nats_per_code, abs=1e-6)


def test_the_gain_is_over_the_mean_of_the_orders_and_in_bits():
    maps = [torch.full((1, 2, 2), value, dtype=torch.float64) for value in (1.0, 2.0)]
    found = EnsembleLikelihood(("a", "b"), tuple(Likelihood(nats, downsampling=2, channels=3) for nats in maps))
    expected = -math.log((math.exp(-4.0) + math.exp(-8.0)) / 2) / 4
    assert found.nats_per_code == pytest.approx(expected)
    assert found.gain == pytest.approx(1.5 - expected)
    assert found.gain_in_bits_per_dimension == pytest.approx((1.5 - expected) / math.log(2) / 12)
    assert found.bits_per_dimension == pytest.approx(expected / math.log(2) / 12)


def test_one_order_gains_nothing_and_several_never_lose():
    prior, codes = lively_prior(), torch.randint(20, (5, 2, 3))
    assert ensemble_likelihood(prior, codes, orders()[:1], downsampling=8).gain == pytest.approx(0.0, abs=1e-9)
    found = ensemble_likelihood(prior, codes, orders(), downsampling=8)
    each = torch.stack([member.nats_per_image for member in found.members])
    best, mean = each.min(dim=0).values, each.mean(dim=0)
    assert bool(((found.nats_per_image >= best) & (found.nats_per_image <= best + math.log(3))).all())
    assert bool((found.nats_per_image <= mean).all())
    assert found.gain > 0


def test_maps_and_figures_are_told_by_order_and_equal_names_are_numbered():
    prior, codes = lively_prior(), torch.randint(20, (2, 2, 3))
    drawn = [scan_order("random", height=2, width=3, seed=seed) for seed in (1, 2)]
    found = ensemble_likelihood(prior, codes, drawn, downsampling=8)
    assert list(found.nats_per_cell) == ["random", "random 2"]
    assert found.nats_per_cell["random 2"].shape == (2, 3)
    assert found.nats_per_code_by_order["random"] == found.members[0].nats_per_code


def test_no_order_is_refused():
    with pytest.raises(ValueError, match="at least one order, got none"):
        ensemble_likelihood(lively_prior(), torch.zeros(1, 2, 3, dtype=torch.int64), [], downsampling=8)
