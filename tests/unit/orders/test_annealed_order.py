import json

import pytest
import torch

from vqgen.orders import AnnealedOrder, MixtureOrder, RandomPerSample, order_policy, order_policy_from_description

ANNEALED = "annealed:random-per-sample->hilbert@100-300"


@pytest.fixture
def policy() -> AnnealedOrder:
    return order_policy(ANNEALED, height=3, width=4)


@pytest.mark.parametrize(("step", "share"), [(0, 1), (100, 1), (150, 0.75), (299, 0.005), (300, 0), (10**6, 0)])
def test_share_falls_linearly_between_the_two_steps(policy, step, share):
    assert policy.share(step) == pytest.approx(share)


@pytest.mark.parametrize(("step", "random"), [(0, 1.0), (200, 0.5), (250, 0.25), (300, 0.0)])
def test_samples_of_a_step_are_random_by_the_share(policy, step, random):
    positions = policy.at(step).positions(2000, torch.Generator().manual_seed(0))
    in_target = (positions == policy.target.order.positions).all(1).double().mean().item()
    assert in_target == pytest.approx(1 - random, abs=0.04)


def test_before_the_change_it_is_the_start_and_after_it_the_target(policy):
    assert policy.at(100) is policy.start
    assert policy.at(300) is policy.target
    middle = policy.at(200)
    assert isinstance(middle, MixtureOrder)
    assert middle.weights == (0.5, 0.5)


def test_annealed_order_keeps_no_count_of_its_own(policy):
    # So a resumed run has nothing to restore: the same step gives the same orders, whatever was asked before.
    late = policy.at(250).positions(20, torch.Generator().manual_seed(3))
    policy.at(0).positions(5)
    assert torch.equal(policy.at(250).positions(20, torch.Generator().manual_seed(3)), late)


def test_annealed_order_by_itself_stands_for_its_target(policy):
    assert policy.fixed == policy.target.fixed
    assert not policy.takes_any
    assert policy.default.name == "hilbert"
    assert torch.equal(policy.positions(2), policy.target.positions(2))


def test_annealed_order_takes_any_in_the_middle(policy):
    assert policy.at(299).takes_any
    assert policy.at(299).default.name == "hilbert"


def test_annealed_to_random_takes_any_order():
    policy = order_policy("annealed:raster->random-per-sample@0-10", height=3, width=4)
    assert policy.takes_any
    assert policy.fixed is None
    assert isinstance(policy.at(10), RandomPerSample)


def test_annealing_may_be_a_switch():
    policy = order_policy("annealed:raster->snake@5-5", height=3, width=4)
    assert [policy.at(step).name for step in (4, 5)] == ["raster", "snake"]


def test_annealed_orders_nest():
    name = "annealed:(annealed:random-per-sample->snake@0-10)->(mixture:raster=0.5,hilbert=0.5)@10-20"
    policy = order_policy(name, height=3, width=4)
    assert policy.name == name
    assert policy.at(5).name == "mixture:random-per-sample=0.5,snake=0.5"
    assert policy.at(15).name == "mixture:snake=0.5,(mixture:raster=0.5,hilbert=0.5)=0.5"
    assert policy.at(20).name == "mixture:raster=0.5,hilbert=0.5"


def test_a_mixture_anneals_with_its_parts():
    policy = order_policy(f"mixture:({ANNEALED})=1,raster=1", height=3, width=4)
    assert policy.at(0).name == "mixture:random-per-sample=0.5,raster=0.5"
    assert policy.at(300).name == "mixture:hilbert=0.5,raster=0.5"
    assert not policy.takes_any
    still = order_policy("mixture:raster=1,snake=1", height=3, width=4)
    assert still.at(7) is still


def test_brackets_are_needed_only_where_a_name_could_be_mistaken():
    plain = order_policy("annealed:mixture:raster=1,snake=1->hilbert@1-2", height=3, width=4)
    assert plain.describe() == order_policy(plain.name, height=3, width=4).describe()
    assert plain.name == "annealed:(mixture:raster=0.5,snake=0.5)->hilbert@1-2"


def test_annealed_order_survives_json(policy):
    again = order_policy_from_description(json.loads(json.dumps(policy.describe())))
    assert isinstance(again, AnnealedOrder)
    assert again.describe() == policy.describe()
    assert (again.begin, again.end, again.start.name, again.target.name) == (100, 300, "random-per-sample", "hilbert")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "annealed:",
            "annealed:raster",
            "annealed:random-per-sample-",
            "annealed:raster->snake",
            "annealed:->snake@1-2",
        ),
        *("annealed:raster->snake@1", "annealed:raster->snake@a-b", "annealed:raster->snake->hilbert@1-2"),
    ],
)
def test_annealed_by_name_says_how_it_is_written(name):
    with pytest.raises(
        ValueError, match=r"expected annealed:START->TARGET@BEGIN-END, .* got '.*'; in a shell put it in"
    ):
        order_policy(name, height=3, width=4)


def test_annealed_refuses_to_end_before_it_begins():
    with pytest.raises(ValueError, match="end no sooner, got begin=30, end=10; count optimizer steps"):
        order_policy("annealed:raster->snake@30-10", height=3, width=4)


def test_annealed_refuses_two_grids(policy):
    with pytest.raises(ValueError, match="share one grid, got 2 x 2 and 3 x 4"):
        AnnealedOrder(RandomPerSample(2, 2), policy.target, 0, 1)


def test_a_description_that_lacks_something_is_refused(policy):
    description = policy.describe()
    del description["begin"]
    with pytest.raises(ValueError, match="description of an order policy lacks 'begin'"):
        order_policy_from_description(description)
    with pytest.raises(ValueError, match="expected the policy 'mixture' or 'annealed', got 'curriculum'"):
        order_policy_from_description({**description, "policy": "curriculum"})
