import math

import pytest
import torch
from torch import Tensor

from vqgen.attention import dense, dense_causal_attention


def naive_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention written out, query by query."""
    output = torch.zeros_like(query)
    earlier = keys.shape[2] - query.shape[2]
    for image in range(query.shape[0]):
        for head in range(query.shape[1]):
            for step in range(query.shape[2]):
                seen = earlier + step + 1
                scores = keys[image, head, :seen] @ query[image, head, step] / math.sqrt(query.shape[3])
                output[image, head, step] = scores.softmax(0) @ values[image, head, :seen]
    return output


@pytest.mark.parametrize("queries", [1, 2, 5, 7])
def test_dense_causal_attention_equals_a_naive_loop(queries: int) -> None:
    keys, values = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    query = torch.randn(2, 3, queries, 4)
    torch.testing.assert_close(dense_causal_attention(query, keys, values), naive_attention(query, keys, values))


def test_dense_causal_attention_refuses_more_queries_than_keys() -> None:
    with pytest.raises(ValueError, match="got 3 queries and 2 keys; pass the keys of the new steps together"):
        dense_causal_attention(torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))


def test_dense_attention_sees_what_a_mask_says() -> None:
    query, keys, values = torch.randn(2, 3, 2, 4), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    visible = torch.tensor([[True, False, True, False, False], [False, True, True, True, False]])
    for step, seen in enumerate(visible):
        alone = query[:, :, step : step + 1]
        expected = naive_attention(alone, keys[:, :, seen], values[:, :, seen])
        output = dense_causal_attention(query, keys, values, visible)
        torch.testing.assert_close(output[:, :, step : step + 1], expected)


@pytest.mark.parametrize("gradients", [True, False])
def test_plain_steps_give_what_the_fused_kernel_gives(gradients: bool) -> None:
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, 3, steps, 8, requires_grad=gradients) for steps in (5, 9, 9))
    visible = torch.rand(5, 9) < 0.5
    visible[:, 0] = True
    plain = dense._in_plain_steps(query, keys, values, visible)
    fused = dense_causal_attention(query, keys, values, visible)
    torch.testing.assert_close(plain, fused)
    if gradients:
        pulled = torch.randn_like(plain)
        for mine, theirs in zip(
            torch.autograd.grad(plain, (query, keys, values), pulled),
            torch.autograd.grad(fused, (query, keys, values), pulled),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("queries", [1, 4, 7])
def test_training_in_bfloat16_is_plain_and_equals_fp32_up_to_rounding(queries: int) -> None:
    torch.manual_seed(0)
    made = [torch.randn(2, 3, steps, 8, dtype=torch.bfloat16, requires_grad=True) for steps in (queries, 7, 7)]
    assert dense.plain_steps_are_faster(made[0], 7, masked=False)
    assert not dense.plain_steps_are_faster(made[0].float(), 7, masked=False)
    assert not dense.plain_steps_are_faster(made[0].detach(), 7, masked=False)
    assert not dense.plain_steps_are_faster(made[0], dense.FEW_KEYS + 1, masked=False)
    low, high = dense_causal_attention(*made), dense_causal_attention(*(each.float() for each in made))
    torch.testing.assert_close(low.float(), high, atol=0.03, rtol=0.03)
    pulled = torch.randn_like(high)
    for mine, theirs in zip(
        torch.autograd.grad(low, made, pulled.bfloat16()), torch.autograd.grad(high, made, pulled), strict=True
    ):
        torch.testing.assert_close(mine.float(), theirs.float(), atol=0.06, rtol=0.06)
