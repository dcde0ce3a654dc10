import json

import pytest
import torch

from vqgen.orders import FixedOrder, RandomPerSample, order_policy, order_policy_from_description, scan_order


def test_fixed_order_gives_every_sample_the_same_positions():
    order = scan_order("hilbert", height=3, width=4)
    positions = FixedOrder(order).positions(5)
    assert positions.shape == (5, 12)
    assert (positions == order.positions).all()


def test_fixed_order_copies_nothing():
    assert FixedOrder(scan_order("raster", height=2, width=2)).positions(100).stride(0) == 0


def test_fixed_order_tells_its_order():
    order = scan_order("snake", height=3, width=4)
    policy = FixedOrder(order)
    assert (policy.name, policy.height, policy.width, policy.fixed, policy.order) == ("snake", 3, 4, order, order)


def test_random_per_sample_gives_each_sample_a_permutation_of_its_own():
    positions = RandomPerSample(4, 5).positions(50, torch.Generator().manual_seed(0))
    assert positions.dtype == torch.int64
    assert (positions.sort(dim=1).values == torch.arange(20)).all()
    assert len(positions.unique(dim=0)) == 50


def test_random_per_sample_repeats_with_the_generators_seed_and_moves_on_within_it():
    policy = RandomPerSample(4, 4)
    generator = torch.Generator().manual_seed(3)
    first, second = policy.positions(2, generator), policy.positions(2, generator)
    assert torch.equal(first, policy.positions(2, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, second)


def test_random_per_sample_leaves_torchs_own_generator_alone_when_given_one():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    RandomPerSample(4, 4).positions(2, torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(1), expected)


def test_random_per_sample_draws_every_permutation_equally_often():
    positions = RandomPerSample(1, 3).positions(6000, torch.Generator().manual_seed(0))
    counts = positions.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 6
    assert counts.min() > 850
    assert counts.max() < 1150


def test_random_per_sample_has_no_fixed_order():
    policy = RandomPerSample(2, 3)
    assert (policy.name, policy.height, policy.width, policy.fixed) == ("random-per-sample", 2, 3, None)


def test_random_per_sample_refuses_an_empty_grid():
    with pytest.raises(ValueError, match="must be >= 1, got height=0, width=3"):
        RandomPerSample(0, 3)


def test_order_policy_passes_the_seed_to_a_drawn_order():
    policy = order_policy("random", height=3, width=3, seed=5)
    assert policy.fixed == scan_order("random", height=3, width=3, seed=5)


def test_order_policy_suggests_close_names():
    with pytest.raises(ValueError, match="unknown order 'rasta': did you mean 'raster'"):
        order_policy("rasta", height=2, width=2)


@pytest.mark.parametrize("name", ["random-per-sample", "random", "spiral-in"])
def test_policies_survive_json(name):
    policy = order_policy(name, height=3, width=4, seed=2)
    again = order_policy_from_description(json.loads(json.dumps(policy.describe())))
    assert type(again) is type(policy)
    assert again.describe() == policy.describe()
    assert again.fixed == policy.fixed


def test_policies_show_what_they_are():
    policy = FixedOrder(scan_order("raster", height=2, width=3))
    assert repr(policy) == "FixedOrder('raster', height=2, width=3)"
