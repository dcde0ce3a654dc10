import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention import LSHAttention, Places
from vqgen.prior import Prior


def places(count: int, cells: int | None = None) -> Places:
    order = torch.arange(count)[None]
    return Places(order, order - 1, first=0, height=cells or count, width=1)


def dense_shared(rows: Tensor, values: Tensor) -> Tensor:
    """Causal attention with a row's own key hidden, except for the first row, and keys of one length."""
    count, width = rows.shape[2:]
    keys = rows / rows.square().mean(dim=-1, keepdim=True).sqrt()
    visible = torch.ones(count, count).tril(-1).bool()
    visible[0, 0] = True
    scores = (rows @ keys.transpose(-1, -2) * width**-0.5).masked_fill(~visible, -torch.inf)
    return scores.softmax(dim=-1) @ values


@pytest.mark.parametrize("attention", [LSHAttention(32), LSHAttention(20, rounds=3), LSHAttention(99, buckets=1)])
def test_a_bucket_that_holds_everything_gives_dense_attention_with_shared_queries_and_keys(
    attention: LSHAttention,
) -> None:
    rows, values = torch.randn(2, 3, 20, 8).double(), torch.randn(2, 3, 20, 8).double()
    mixed = attention(rows, rows, values, attention.reach(places(20)))
    torch.testing.assert_close(mixed, dense_shared(rows, values), atol=1e-5, rtol=0.0)


def test_small_buckets_leave_out_what_they_do_not_hold() -> None:
    rows, values = torch.randn(1, 1, 64, 8).double(), torch.randn(1, 1, 64, 8).double()
    attention = LSHAttention(4)
    mixed = attention(rows, rows, values, attention.reach(places(64)))
    assert not torch.allclose(mixed[:, :, 32:], dense_shared(rows, values)[:, :, 32:], atol=1e-3)


def test_more_rounds_come_nearer_to_dense_attention() -> None:
    rows, values = 3 * F.normalize(torch.randn(4, 2, 256, 8), dim=-1).double(), torch.randn(4, 2, 256, 8).double()
    expected, errors = dense_shared(rows, values), []
    for rounds in (1, 4, 16):
        attention = LSHAttention(32, rounds=rounds)
        errors.append(float((attention(rows, rows, values, attention.reach(places(256))) - expected).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_the_start_is_seen_by_every_row() -> None:
    rows, values = torch.randn(2, 2, 40, 8).double(), torch.randn(2, 2, 40, 8).double().requires_grad_()
    attention = LSHAttention(2, rounds=1, buckets=8)
    mixed = attention(rows, rows, values, attention.reach(places(40)))
    for row in range(40):
        (gradient,) = torch.autograd.grad(mixed[:, :, row].sum(), values, retain_graph=True)
        assert bool((gradient[:, :, 0].abs().sum(dim=-1) > 0).all())
        assert row == 0 or gradient[:, :, row].count_nonzero() == 0  # its own place is not, unless it is alone
        assert gradient[:, :, row + 1 :].count_nonzero() == 0


def test_rows_before_the_start_are_seen_by_every_row() -> None:
    rows, values = torch.randn(1, 2, 12, 8).double(), torch.randn(1, 2, 12, 8).double()
    step = torch.cat((torch.full((3,), -1), torch.arange(9)))  # three rows of a condition, the start, eight codes
    content = torch.cat((torch.full((4,), -1), torch.arange(8)))
    told = Places(step[None], content[None], 0, 9, 1, step=step, content_step=content)
    attention = LSHAttention(1, rounds=1, buckets=1)
    mixed = attention(rows, rows, values, attention.reach(told))
    keys = F.rms_norm(rows, (8,), eps=1e-6)
    visible = torch.ones(12, 12).tril(-1).bool() & (torch.arange(12) < 4)
    visible |= torch.ones(12, 12).tril(-1).triu(-1).bool()  # and the one before, as buckets hold one row
    visible[0, 0] = True
    expected = F.scaled_dot_product_attention(rows, keys, values, attn_mask=visible)
    torch.testing.assert_close(mixed, expected, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(("bucket_size", "cells", "expected"), [(8, 64, 16), (9, 64, 16), (64, 64, 1), (100, 64, 1)])
def test_buckets_follow_the_grid_so_that_a_chunk_holds_two(bucket_size: int, cells: int, expected: int) -> None:
    buckets = LSHAttention(bucket_size).hashed(torch.randn(4, 2, 2000, 8), cells)
    assert len(buckets.unique()) == expected


def test_half_precision_hashes_like_single() -> None:
    attention, rows = LSHAttention(8), torch.randn(2, 2, 64, 8).bfloat16()
    expected = attention.hashed(rows.float(), 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention.hashed(rows, 64), expected)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 1, got bucket_size=0 and rounds=2"):
        LSHAttention(0)
    with pytest.raises(ValueError, match="must be >= 1, got bucket_size=8 and rounds=0"):
        LSHAttention(8, rounds=0)
    with pytest.raises(ValueError, match="even number, as each direction makes two, or 1 for no hash, got 3"):
        LSHAttention(8, buckets=3)


def test_signals_that_turn_queries_and_keys_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="LSHAttention takes a row's query and key to be one vector"):
        Prior(20, 3, 4, dim=16, depth=1, heads=2, signals=("target", "rotary"), attention=LSHAttention(4))


def test_a_prior_learns_one_projection_for_queries_and_keys() -> None:
    prior = Prior(20, 3, 4, dim=16, depth=1, heads=2, signals=("target",), attention=LSHAttention(4))
    assert prior.blocks[0].attention.query_key_value.weight.shape == (32, 16)
