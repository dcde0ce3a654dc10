import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.data.draws import DrawBatches, mix, uniforms


def splitmix(state: int) -> int:
    """One step of SplitMix64 in plain integers."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def test_uniforms_are_splitmix64() -> None:
    assert splitmix(0) == 0xE220A8397B1DCDAF  # the published first output for the seed 0
    seeds = np.array([0, 1, 2**64 - 1], dtype=np.uint64)
    step = 0x9E3779B97F4A7C15
    expected = [[(splitmix(int(seed) + k * step) >> 11) / 2**53 for k in range(3)] for seed in seeds]
    np.testing.assert_array_equal(uniforms(seeds, 3), np.array(expected))


@given(seed=st.integers(-(2**70), 2**70), numbers=st.lists(st.integers(0, 2**60), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_mix_treats_every_number_alone(seed: int, numbers: list[int]) -> None:
    assert mix(seed, numbers).tolist() == [int(mix(seed, [number])[0]) for number in numbers]


def test_mix_separates_seeds_and_numbers() -> None:
    hashes = np.concatenate([mix(seed, range(200)) for seed in range(200)])
    assert len(np.unique(hashes)) == 40_000


def test_uniforms_are_uniform_and_independent() -> None:
    values = uniforms(mix(0, range(20_000)), 2)
    counts = np.histogram2d(values[:, 0], values[:, 1], bins=4, range=[[0, 1], [0, 1]])[0]
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(counts / 1250 - 1).max() < 0.15


@given(
    items=st.integers(1, 60),
    batch_size=st.integers(1, 7),
    num_replicas=st.integers(1, 4),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 100),
)
@settings(max_examples=100, deadline=None)
def test_processes_share_an_epoch_without_repeats(
    items: int, batch_size: int, num_replicas: int, epoch: int, seed: int
) -> None:
    if items < batch_size * num_replicas:
        return
    shares = []
    for rank in range(num_replicas):
        batches = DrawBatches(items, batch_size=batch_size, num_replicas=num_replicas, rank=rank, seed=seed)
        batches.epoch = epoch
        shares.append(list(batches))
        assert [len(batch) for batch in shares[-1]] == [batch_size] * len(batches)
    draws = [draw for share in shares for batch in share for draw in batch]
    assert len(set(draws)) == len(draws) == items // (batch_size * num_replicas) * batch_size * num_replicas
    assert all(epoch * items <= draw < (epoch + 1) * items for draw in draws)
    alone = DrawBatches(items, batch_size=batch_size * num_replicas, seed=seed)
    alone.epoch = epoch
    together = [[draw for share in shares for draw in share[step]] for step in range(len(shares[0]))]
    assert list(alone) == together


def test_epochs_and_seeds_shuffle_differently() -> None:
    orders = []
    for seed in range(2):
        for epoch in range(2):
            batches = DrawBatches(50, batch_size=50, seed=seed)
            batches.epoch = epoch
            orders.append(tuple(draw % 50 for batch in batches for draw in batch))
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_an_epoch_can_begin_later() -> None:
    batches = DrawBatches(20, batch_size=3, seed=0)
    whole = list(batches)
    batches.first = 4
    assert list(batches) == whole[4:]


def test_shuffling_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    list(DrawBatches(20, batch_size=3))
    assert torch.equal(torch.rand(1), expected)


def test_too_few_items_for_one_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"batch_size=4 on 2 process\(es\) needs at least 8 items, got 7; choose a sm"):
        DrawBatches(7, batch_size=4, num_replicas=2)
