import json

import pytest
import torch

from vqgen.orders import (
    FixedOrder,
    MixtureOrder,
    RandomPerSample,
    order_policy,
    order_policy_from_description,
    scan_order,
)


def fixed(name: str, height: int = 3, width: int = 4) -> FixedOrder:
    return FixedOrder(scan_order(name, height=height, width=width))


def shares(policy, count: int = 4000) -> dict[str, float]:
    """How often each of the policy's orders comes in many draws."""
    positions = policy.positions(count, torch.Generator().manual_seed(0))
    return {
        order.name: (positions == order.positions).all(1).double().mean().item()
        for order in (fixed(name).order for name in ("raster", "hilbert", "snake"))
    }


def test_mixture_draws_each_order_as_often_as_its_weight_says():
    found = shares(MixtureOrder([fixed("raster"), fixed("hilbert")], [3, 1]))
    assert found["raster"] == pytest.approx(0.75, abs=0.03)
    assert found["hilbert"] == pytest.approx(0.25, abs=0.03)
    assert found["raster"] + found["hilbert"] == pytest.approx(1)


def test_mixture_draws_random_orders_for_the_share_of_the_random_part():
    policy = order_policy("mixture:raster=1,random-per-sample=1", height=3, width=4)
    positions = policy.positions(400, torch.Generator().manual_seed(1))
    assert (positions.sort(dim=1).values == torch.arange(12)).all()
    in_raster = (positions == torch.arange(12)).all(1)
    assert 150 < in_raster.sum() < 250
    assert len(positions[~in_raster].unique(dim=0)) == (~in_raster).sum()


def test_mixture_never_draws_weight_zero():
    assert shares(MixtureOrder([fixed("snake"), fixed("raster"), fixed("hilbert")], [0, 1, 0]), 500)["raster"] == 1


def test_mixture_repeats_with_the_generators_seed_and_leaves_torchs_own_alone():
    policy = order_policy("mixture:raster=1,random-per-sample=1", height=3, width=4)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second = (policy.positions(6, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), expected)


def test_mixture_normalises_its_weights_and_shows_them():
    policy = MixtureOrder([fixed("raster"), RandomPerSample(3, 4)], [3, 1])
    assert policy.weights == (0.75, 0.25)
    assert policy.name == "mixture:raster=0.75,random-per-sample=0.25"
    assert (policy.height, policy.width) == (3, 4)


def test_mixture_knows_the_orders_of_its_parts_only():
    policy = order_policy("mixture:raster=1,hilbert=2,snake=0", height=3, width=4)
    assert not policy.takes_any
    assert policy.fixed is None
    assert [order.name for order in policy.orders] == ["hilbert", "raster"]
    assert policy.default.name == "hilbert"
    assert policy.knows(scan_order("raster", height=3, width=4))
    assert not policy.knows(scan_order("snake", height=3, width=4))
    assert not policy.knows(scan_order("raster", height=4, width=3))


def test_mixture_with_a_random_part_takes_any_order():
    policy = order_policy("mixture:random-per-sample=0.9,hilbert=0.1", height=3, width=4)
    assert policy.takes_any
    assert policy.default.name == "hilbert"
    assert policy.knows(scan_order("snake", height=3, width=4))
    assert not order_policy("mixture:random-per-sample=0,hilbert=1", height=3, width=4).takes_any


def test_mixture_of_one_part_is_as_fixed_as_the_part():
    assert order_policy("mixture:hilbert=2,raster=0", height=3, width=4).fixed == fixed("hilbert").order


def test_mixture_holds_mixtures():
    policy = order_policy("mixture:(mixture:raster=1,hilbert=1)=1,snake=1", height=3, width=4)
    assert policy.name == "mixture:(mixture:raster=0.5,hilbert=0.5)=0.5,snake=0.5"
    assert order_policy(policy.name, height=3, width=4).describe() == policy.describe()
    assert shares(policy) == pytest.approx({"raster": 0.25, "hilbert": 0.25, "snake": 0.5}, abs=0.03)


@pytest.mark.parametrize(
    "weights", ["raster=0.1,hilbert=0.2,snake=0.7", "raster=1,hilbert=1,snake=1", "raster=7,snake=3"]
)
def test_mixture_survives_json_to_the_last_bit(weights):
    policy = order_policy(f"mixture:{weights}", height=3, width=4)
    for _ in range(3):
        again = order_policy_from_description(json.loads(json.dumps(policy.describe())))
        assert isinstance(again, MixtureOrder)
        assert again.weights == policy.weights
        assert again.describe() == policy.describe()
        policy = again


def test_mixture_gives_no_samples_for_an_empty_batch():
    assert order_policy("mixture:raster=1,snake=1", height=2, width=2).positions(0).shape == (0, 4)


@pytest.mark.parametrize(
    ("policies", "weights", "message"),
    [
        ([], [], "at least one policy, got 0 policies and 0 weights"),
        (["raster"], [1, 2], "got 1 policies and 2 weights"),
        (["raster", "snake"], [1, -1], r"finite, >= 0 and not all 0, got \[1, -1\]"),
        (["raster", "snake"], [0, 0], r"not all 0, got \[0, 0\]"),
        (["raster"], [float("nan")], "finite"),
    ],
)
def test_mixture_refuses_weights_out_of_range(policies, weights, message):
    with pytest.raises(ValueError, match=message):
        MixtureOrder([fixed(name) for name in policies], weights)


def test_mixture_refuses_parts_on_other_grids():
    with pytest.raises(ValueError, match=r"share one grid, got \[\(2, 2\), \(3, 4\)\]"):
        MixtureOrder([fixed("raster"), fixed("raster", 2, 2)], [1, 1])


@pytest.mark.parametrize(
    "name", ["mixture:raster", "mixture:", "mixture:raster=1,", "mixture:=1", "mixture:raster=much"]
)
def test_mixture_by_name_asks_for_weights(name):
    with pytest.raises(
        ValueError, match=r"expected mixture:NAME=WEIGHT,NAME=WEIGHT, got .*; give every order a weight"
    ):
        order_policy(name, height=3, width=4)


def test_mixture_by_name_names_an_order_it_does_not_know():
    with pytest.raises(ValueError, match="unknown order 'rasta': did you mean 'raster'"):
        order_policy("mixture:rasta=1,hilbert=1", height=3, width=4)
