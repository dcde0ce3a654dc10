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


def test_a_few_queries_in_plain_steps_are_the_same():
    torch.manual_seed(0)
    query, keys, values = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    visible = torch.rand(5, 9) < 0.5
    visible[:, 0] = True
    torch.testing.assert_close(
        dense._few_queries(query, keys, values, visible), dense_causal_attention(query, keys, values, visible)
    )
