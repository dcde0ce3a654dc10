import pytest
import torch
from torch import Tensor

from vqgen.attention import attend_in_buckets, lsh_buckets, random_rotations, visible_in_buckets

CPU = {"device": torch.device("cpu"), "dtype": torch.float64}


def hashed(rows: Tensor, rounds: int, buckets: int) -> Tensor:
    heads, head_dim = rows.shape[1], rows.shape[3]
    return lsh_buckets(rows, random_rotations(1, heads=heads, rounds=rounds, head_dim=head_dim, buckets=buckets, **CPU))


def visible_by_a_loop(buckets: Tensor, window: int) -> Tensor:
    batch, heads, rounds, count = buckets.shape
    visible = torch.zeros(batch, heads, count, count, dtype=torch.bool)
    for image in range(batch):
        for head in range(heads):
            for each in range(rounds):
                for row in range(count):
                    same = [j for j in range(row) if buckets[image, head, each, j] == buckets[image, head, each, row]]
                    visible[image, head, row, same[-window:]] = True
    return visible


def test_rotations_are_the_same_for_the_same_seed_and_differ_between_heads_and_rounds() -> None:
    arguments = {"heads": 2, "rounds": 2, "head_dim": 4, "buckets": 6, **CPU}
    drawn = random_rotations(3, **arguments)
    random_rotations.cache_clear()
    assert torch.equal(random_rotations(3, **arguments), drawn)
    assert not torch.equal(random_rotations(4, **arguments), drawn)
    assert len({float(each) for each in drawn[:, :, 0, 0].flatten()}) == 4


def test_rotations_made_while_sampling_can_be_trained_with() -> None:
    random_rotations.cache_clear()
    with torch.inference_mode():
        hashed(torch.randn(1, 1, 3, 4, dtype=torch.float64), 1, 4)
    rows = torch.randn(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    (rows.sum() + hashed(rows, 1, 4).sum()).backward()
    assert rows.grad is not None


def test_a_bucket_does_not_depend_on_length_and_opposite_rows_never_share_one() -> None:
    rows = torch.randn(2, 3, 50, 8, dtype=torch.float64)
    buckets = hashed(rows, 4, 8)
    assert buckets.shape == (2, 3, 4, 50)
    assert torch.equal(hashed(7.0 * rows, 4, 8), buckets)
    assert bool((hashed(-rows, 4, 8) == (buckets + 4) % 8).all())
    assert set(buckets.unique().tolist()) == set(range(8))


def test_rows_are_the_likelier_to_share_a_bucket_the_nearer_they_point() -> None:
    rows, noise = torch.randn(2, 1, 4000, 16, dtype=torch.float64), torch.randn(2, 1, 4000, 16, dtype=torch.float64)
    shared = [
        float((hashed(rows, 1, 16) == hashed(rows + size * noise, 1, 16)).double().mean()) for size in (0.1, 0.5, 2.0)
    ]
    assert shared[0] > shared[1] + 0.1 > shared[2] + 0.2
    assert shared[2] > 1 / 16


@pytest.mark.parametrize("window", [1, 3, 40])
def test_visible_rows_are_those_of_a_loop(window: int) -> None:
    buckets = torch.randint(4, (2, 2, 3, 13))
    before = torch.ones(13, 13, dtype=torch.bool).tril(-1)
    assert torch.equal(visible_in_buckets(buckets, buckets, before, window), visible_by_a_loop(buckets, window))


@pytest.mark.parametrize(
    ("count", "window", "rounds", "buckets"),
    [(37, 5, 3, 4), (16, 16, 1, 2), (40, 8, 2, 8), (5, 8, 2, 2), (12, 1, 2, 2)],
)
def test_chunks_give_what_softmax_over_all_that_is_visible_gives(
    count: int, window: int, rounds: int, buckets: int
) -> None:
    query, keys, values = (torch.randn(2, 3, count, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    first_keys, first_values = (torch.randn(2, 3, 2, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    given, found = (query, keys, values, first_keys, first_values), hashed(keys, rounds, buckets)
    mixed = attend_in_buckets(query, keys, values, found, window, first_keys=first_keys, first_values=first_values)
    visible = visible_by_a_loop(found, window)
    everywhere = torch.ones(2, 3, count, 2, dtype=torch.bool)
    scores = query @ torch.cat((first_keys, keys), dim=2).transpose(-1, -2) * 8**-0.5
    scores = scores.masked_fill(~torch.cat((everywhere, visible), dim=-1), -torch.inf)
    expected = scores.softmax(dim=-1) @ torch.cat((first_values, values), dim=2)
    torch.testing.assert_close(mixed, expected)
    assert visible.any()
    weights = torch.randn_like(mixed)
    chunked, whole = (torch.autograd.grad((each * weights).sum(), given) for each in (mixed, expected))
    for gradient, of_all in zip(chunked, whole, strict=True):
        torch.testing.assert_close(gradient, of_all)


def test_scores_far_apart_stay_sound() -> None:
    query, keys, values = (torch.randn(1, 1, 24, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    found = torch.zeros(1, 1, 2, 24, dtype=torch.int64)
    for size in (1e3, 1e-3):
        mixed = attend_in_buckets(
            query * size, keys, values, found, 24, first_keys=keys[:, :, :1], first_values=values[:, :, :1]
        )
        gradients = torch.autograd.grad(mixed.sum(), (query, keys, values))
        assert all(bool(each.isfinite().all()) for each in (mixed, *gradients))
        own = torch.ones(24, 24).tril(-1).bool()
        scores = torch.cat((query @ keys[:, :, :1].transpose(-1, -2), query @ keys.transpose(-1, -2)), dim=-1)
        scores = (scores * size / 2).masked_fill(~torch.cat((torch.ones(24, 1).bool(), own), dim=1), -torch.inf)
        expected = scores.softmax(dim=-1) @ torch.cat((values[:, :, :1], values), dim=2)
        torch.testing.assert_close(mixed, expected)


def test_the_number_of_scores_grows_with_the_rows_and_not_with_their_square() -> None:
    counted = []
    for count in (64, 128):
        rows = torch.randn(1, 1, count, 4)
        buckets = torch.randint(4, (1, 1, 2, count))
        with torch.profiler.profile(with_flops=True) as profile:
            attend_in_buckets(rows, rows, rows, buckets, 8, first_keys=rows[:, :, :1], first_values=rows[:, :, :1])
        counted.append(sum(event.flops for event in profile.events()))
    assert counted[0] > 0
    assert 1.9 < counted[1] / counted[0] < 2.1
