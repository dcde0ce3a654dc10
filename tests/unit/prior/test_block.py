import math

import pytest
import torch
from torch.nn import functional as F

from vqgen.prior import STYLES, Block, SelfAttention


@pytest.mark.parametrize("style", STYLES)
def test_self_attention_equals_attention_written_out(style: str) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(16, heads=2, style=STYLES[style])
    hidden = torch.randn(2, 5, 16)
    query, keys, values = attention.query_key_value(hidden).split(16, dim=-1)
    heads = []
    for head in (slice(0, 8), slice(8, 16)):
        q, k = query[..., head], keys[..., head]
        if style == "llama":
            q, k = ((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, unbiased=False) for x in (q, k))
        scores = (q @ k.transpose(1, 2) / math.sqrt(8)).masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(-1) @ values[..., head])
    expected = F.linear(torch.cat(heads, -1), attention.output.weight, attention.output.bias)
    torch.testing.assert_close(attention(hidden, None, None), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_block_adds_attention_then_feed_forward(style: str) -> None:
    block, hidden = Block(16, heads=2, style=STYLES[style]), torch.randn(2, 5, 16)
    middle = hidden + block.attention(block.attention_norm(hidden), None, None)
    expected = middle + block.feed_forward(block.feed_forward_norm(middle))
    torch.testing.assert_close(block(hidden, None, None), expected)


def test_dropout_acts_in_training_only() -> None:
    block, hidden = Block(16, heads=2, style=STYLES["gpt"], dropout=0.5), torch.randn(2, 5, 16)
    assert not torch.equal(block(hidden, None, None), block(hidden, None, None))
    block.eval()
    assert torch.equal(block(hidden, None, None), block(hidden, None, None))
