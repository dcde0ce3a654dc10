"""What every order policy promises, whatever it is made of."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.orders import (
    AnnealedOrder,
    FixedOrder,
    MixtureOrder,
    OrderPolicy,
    RandomPerSample,
    ScanOrder,
    order_policy,
    order_policy_from_description,
    scan_order,
)

EXAMPLES = settings(max_examples=40, deadline=None)
HEIGHT, WIDTH = 3, 4
SIMPLE = st.sampled_from(["raster", "hilbert", "snake", "random", "halton", "random-per-sample"])
STEPS = st.integers(0, 30)


def mixtures(parts):
    weighted = st.lists(st.tuples(parts, st.integers(1, 5)), min_size=1, max_size=3)
    return weighted.map(lambda pairs: "mixture:" + ",".join(f"({name})={weight}" for name, weight in pairs))


def annealed(parts):
    spans = st.tuples(STEPS, STEPS).map(sorted)
    return st.tuples(parts, parts, spans).map(
        lambda made: f"annealed:({made[0]})->({made[1]})@{made[2][0]}-{made[2][1]}"
    )


NAMES = st.recursive(SIMPLE, lambda parts: mixtures(parts) | annealed(parts), max_leaves=5)


def made(name: str) -> OrderPolicy:
    return order_policy(name, height=HEIGHT, width=WIDTH, seed=2)


@EXAMPLES
@given(name=NAMES, step=STEPS)
def test_every_sample_visits_every_cell_once_at_every_step(name, step):
    for policy in (made(name), made(name).at(step)):
        positions = policy.positions(5, torch.Generator().manual_seed(step))
        assert positions.dtype == torch.int64
        assert positions.sort(dim=1).values.tolist() == [list(range(HEIGHT * WIDTH))] * 5
        assert torch.equal(positions, policy.positions(5, torch.Generator().manual_seed(step)))


@EXAMPLES
@given(name=NAMES)
def test_a_name_shown_and_a_description_give_the_policy_again(name):
    policy = made(name)
    again = order_policy_from_description(json.loads(json.dumps(policy.describe())))
    assert type(again) is type(policy)
    assert again.describe() == policy.describe()
    assert type(made(policy.name)) is type(policy)  # weights are shown rounded


@EXAMPLES
@given(name=NAMES, step=STEPS)
def test_a_policy_at_a_step_changes_no_more(name, step):
    now = made(name).at(step)
    assert now.at(step + 7) is now
    assert not isinstance(now, AnnealedOrder)


@EXAMPLES
@given(name=NAMES)
def test_a_policy_by_itself_is_what_it_becomes(name):
    policy = made(name)
    late = policy.at(10**6)
    assert torch.equal(*(each.positions(9, torch.Generator().manual_seed(1)) for each in (policy, late)))
    assert (policy.takes_any, policy.default) == (late.takes_any, late.default)


@EXAMPLES
@given(name=NAMES, step=STEPS)
def test_a_policy_knows_every_order_it_gives_and_its_default(name, step):
    policy = made(name).at(step)
    assert policy.knows(policy.default)
    for positions in policy.positions(10, torch.Generator().manual_seed(0)):
        assert policy.knows(ScanOrder("given", HEIGHT, WIDTH, positions))
    assert policy.takes_any == policy.knows(scan_order("random", height=HEIGHT, width=WIDTH, seed=12345))


@pytest.mark.parametrize("kind", [FixedOrder, RandomPerSample, MixtureOrder, AnnealedOrder])
def test_positions_go_where_the_generator_is(kind):
    raster, random = made("raster"), made("random-per-sample")
    policy = {
        FixedOrder: raster,
        RandomPerSample: random,
        MixtureOrder: MixtureOrder([raster, random], [1, 1]),
        AnnealedOrder: AnnealedOrder(random, raster, 0, 2),
    }[kind]
    assert policy.positions(2, torch.Generator(device="cpu")).device.type == "cpu"
    assert policy.at(1).positions(0).shape == (0, HEIGHT * WIDTH)
