import pytest
import torch

from vqgen.attention import KVCache, LayerCache


def small_cache() -> KVCache:
    return KVCache(layers=2, batch_size=3, heads=4, steps=6, head_dim=8)


def fill(cache: KVCache, count: int) -> None:
    for layer in cache.layers:
        layer.append(torch.randn(3, 4, count, 8), torch.randn(3, 4, count, 8))


def test_append_gives_back_every_step_in_the_order_it_came() -> None:
    layer = small_cache().layers[0]
    keys, values = torch.randn(3, 4, 6, 8), torch.randn(3, 4, 6, 8)
    for start, end in [(0, 2), (2, 3), (3, 6)]:
        all_keys, all_values = layer.append(keys[:, :, start:end], values[:, :, start:end])
        assert torch.equal(all_keys, keys[:, :, :end])
        assert torch.equal(all_values, values[:, :, :end])
        assert layer.length == end


def test_append_allocates_nothing() -> None:
    layer = small_cache().layers[0]
    all_keys, all_values = layer.append(torch.randn(3, 4, 2, 8), torch.randn(3, 4, 2, 8))
    assert all_keys.data_ptr() == layer.keys.data_ptr()
    assert all_values.data_ptr() == layer.values.data_ptr()


def test_append_refuses_more_steps_than_there_is_room_for() -> None:
    layer = LayerCache(torch.empty(1, 1, 4, 2), torch.empty(1, 1, 4, 2))
    layer.append(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2))
    with pytest.raises(ValueError, match="room for 4 steps and holds 3, got 2 more; trim or reset it first"):
        layer.append(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))


def test_append_refuses_another_batch() -> None:
    layer = small_cache().layers[0]
    with pytest.raises(ValueError, match="made for a batch of 3, got 1; make a new one"):
        layer.append(torch.zeros(1, 4, 1, 8), torch.zeros(1, 4, 1, 8))


def test_trim_forgets_the_later_steps_of_every_layer() -> None:
    cache = small_cache()
    fill(cache, 5)
    first = cache.layers[1].keys[:, :, :2].clone()
    cache.trim(2)
    assert [layer.length for layer in cache.layers] == [2, 2]
    keys, _ = cache.layers[1].append(torch.zeros(3, 4, 1, 8), torch.zeros(3, 4, 1, 8))
    assert torch.equal(keys[:, :, :2], first)
    assert torch.equal(keys[:, :, 2:], torch.zeros(3, 4, 1, 8))


def test_reset_makes_room_for_everything_again() -> None:
    cache = small_cache()
    fill(cache, 6)
    cache.reset()
    fill(cache, 6)
    assert cache.length == 6


def test_trim_refuses_to_grow() -> None:
    cache = small_cache()
    fill(cache, 2)
    with pytest.raises(ValueError, match="from 0 to 2, the steps this cache holds, got 3"):
        cache.trim(3)


def test_bytes_counts_keys_and_values_of_every_layer() -> None:
    assert small_cache().bytes == 2 * 2 * 3 * 4 * 6 * 8 * 4


def test_kv_cache_refuses_an_empty_size() -> None:
    with pytest.raises(ValueError, match="batch_size must be >= 1, got batch_size=0"):
        KVCache(layers=1, batch_size=0, heads=1, steps=1, head_dim=1)


def test_a_cache_of_several_rows_a_step_counts_whole_steps() -> None:
    cache = KVCache(layers=1, batch_size=1, heads=1, steps=3, head_dim=2, rows=2)
    rows = torch.ones(1, 1, 5, 2)
    cache.layers[0].append(rows, rows)
    assert cache.length == 2
    cache.trim(1)
    assert cache.layers[0].length == 2
    assert cache.layers[0].keys.shape[2] == 6
    with pytest.raises(ValueError, match="rows must be >= 1, got rows=0"):
        KVCache(layers=1, batch_size=1, heads=1, steps=3, head_dim=2, rows=0)
