import pytest
import torch

from vqgen.attention import Places, SegmentAttention, SegmentLayerCache, dense_causal_attention, present


def reach_of(attention: SegmentAttention, count: int, prefix: int = 0):
    step = torch.arange(-prefix, count).clamp_min(-1)
    content = torch.arange(-1 - prefix, count - 1).clamp_min(-1)
    return attention.reach(
        Places(step[None], content[None], 0, count, 1, step=step, content_step=content, prefix=prefix)
    )


def rows_seen_by_a_loop(segment: int, memory: int, count: int, prefix: int) -> list[list[bool]]:
    seen = []
    for row in range(prefix + count):
        step, begin = row - prefix, (row - prefix) // segment * segment
        seen.append(
            [
                key <= row and (key <= prefix or (row > prefix and key - prefix >= begin - memory and step >= 0))
                for key in range(prefix + count)
            ]
        )
    return seen


@pytest.mark.parametrize("prefix", [0, 3])
@pytest.mark.parametrize(("segment", "memory"), [(4, 0), (4, 4), (3, 7), (5, 2), (1, 1), (20, 1), (4, 99)])
def test_whole_passes_see_the_segment_the_memory_and_the_first_rows(segment: int, memory: int, prefix: int) -> None:
    attention, count = SegmentAttention(segment, memory), 11
    reach = reach_of(attention, count, prefix)
    expected = rows_seen_by_a_loop(segment, memory, count, prefix)
    assert reach.mask().tolist() == expected
    query, keys, values = torch.randn(3, 2, 3, prefix + count, 8).double()
    scores = (query @ keys.transpose(-1, -2) * 8**-0.5).masked_fill(~torch.tensor(expected), -torch.inf)
    torch.testing.assert_close(attention(query, keys, values, reach), scores.softmax(dim=-1) @ values)


def test_a_memory_as_long_as_the_sequence_is_dense_attention() -> None:
    attention, (query, keys, values) = SegmentAttention(3, 10), torch.randn(3, 2, 2, 10, 8).double()
    found = attention(query, keys, values, reach_of(attention, 10))
    torch.testing.assert_close(found, dense_causal_attention(query, keys, values))


def test_memory_is_read_from_what_is_held_and_the_segment_and_the_start_from_what_is_not() -> None:
    attention, (query, keys, values) = SegmentAttention(4, 4), torch.randn(3, 1, 1, 12, 8).double()
    held_keys, held_values = keys.clone().requires_grad_(), values.clone().requires_grad_()
    keys.requires_grad_()
    mixed = attention(query, keys, values, reach_of(attention, 12), held=(held_keys, held_values))
    for row in range(12):
        live, held = torch.autograd.grad(mixed[:, :, row].square().sum(), (keys, held_keys), retain_graph=True)
        begin = row // 4 * 4
        reached = [bool(each.abs().sum() > 0) for each in live[0, 0]]
        remembered = [bool(each.abs().sum() > 0) for each in held[0, 0]]
        if row > 0:  # alone, a row has nothing to weigh
            assert reached == [key == 0 or begin <= key <= row for key in range(12)]
        assert remembered == [key > 0 and begin - 4 <= key < begin for key in range(12)]


def test_the_scores_of_a_pass_grow_with_the_steps_and_not_with_their_square() -> None:
    counted = []
    for count in (64, 128):
        attention, rows = SegmentAttention(8, 8), torch.randn(1, 1, count, 4)
        with torch.profiler.profile(with_flops=True) as profile:
            attention(rows, rows, rows, reach_of(attention, count))
        counted.append(sum(event.flops for event in profile.events()))
    assert counted[0] > 0
    assert 1.9 < counted[1] / counted[0] < 2.1


def made_cache(opened: int = 1, segment: int = 4, memory: int = 3) -> SegmentLayerCache:
    room = torch.empty(1, 1, opened + segment + memory, 1)
    return SegmentLayerCache(room, room.clone(), opened=opened, segment=segment, memory=memory)


@pytest.mark.parametrize("opened", [1, 3])
@pytest.mark.parametrize("parts", [(1,) * 20, (5, 1, 1, 9, 1, 3), (20,), (19, 1), (2, 18)])
def test_cache_gives_the_first_rows_and_the_last_ones_and_stays_small(opened: int, parts: tuple[int, ...]) -> None:
    cache, seen, size = made_cache(opened), 0, 0
    for part in (opened - 1 + parts[0], *parts[1:]):
        rows = torch.arange(seen, seen + part).float().view(1, 1, -1, 1)
        first_step = seen - (opened - 1)
        keys, values = cache.append(rows, -rows)
        seen += part
        size = cache.keys.shape[2]
        oldest = max(first_step // 4 * 4 - 3, 1) + opened - 1
        expected = [*range(opened), *range(max(oldest, opened), seen)]
        assert keys.flatten().tolist() == [float(row) for row in expected]
        assert torch.equal(values, -keys)
        assert cache.length == seen
    if parts[-1] == 1:
        assert size == opened + 4 + 3


def test_cache_goes_back_within_a_segment_and_refuses_to_go_back_further() -> None:
    cache = made_cache()
    for row in range(12):
        cache.append(torch.full((1, 1, 1, 1), float(row)), torch.zeros(1, 1, 1, 1))
    cache.trim(9)
    keys, _ = cache.append(torch.full((1, 1, 1, 1), 50.0), torch.zeros(1, 1, 1, 1))
    assert keys.flatten().tolist() == [0.0, 5.0, 6.0, 7.0, 8.0, 50.0]
    with pytest.raises(ValueError, match="holds the rows from 5 on, and step 7 looks back to row 1; go back within"):
        cache.trim(7)
    cache.trim(0)
    assert cache.append(torch.ones(1, 1, 2, 1), torch.ones(1, 1, 2, 1))[0].flatten().tolist() == [1.0, 1.0]


def test_cache_refuses_another_batch() -> None:
    with pytest.raises(ValueError, match="made for a batch of 1, got 2"):
        made_cache().append(torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))


def test_present_takes_the_first_and_the_last() -> None:
    assert torch.equal(present(torch.arange(6), 6, 1), torch.arange(6))
    assert present(torch.arange(6), 3, 1).tolist() == [0, 4, 5]


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="got segment=0 and memory=4"):
        SegmentAttention(0, 4)
    with pytest.raises(ValueError, match="got segment=4 and memory=-1"):
        SegmentAttention(4, -1)
