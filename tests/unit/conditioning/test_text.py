import pytest
import torch
from torch.nn import functional as F

from vqgen.conditioning import TextConditioner, TextEncoder, TextStream, train_vocabulary

VOCABULARY = train_vocabulary(["red apple"] * 3, size=270)


def encoder(**settings) -> TextEncoder:
    return TextEncoder(VOCABULARY, 8, **{"length": 5, "depth": 1, "heads": 2, **settings})


def stream(**settings) -> TextStream:
    return TextStream(VOCABULARY, 8, **{"length": 5, **settings})


@pytest.mark.parametrize("made", [encoder, stream])
def test_conditioners_refuse_what_is_no_caption(made) -> None:
    with pytest.raises(ValueError, match=r"captions of shape \(2, 5\), 5 tokens for each image, got \(2, 4\)"):
        made()(torch.zeros(2, 4, dtype=torch.int64), batch_size=2)
    with pytest.raises(ValueError, match=r"tokens must be from -1 \(none\) to \d+, got 0 to 5000"):
        made()(torch.tensor([[0, 5000, 0, 0, 0]]), batch_size=1)
    with pytest.raises(ValueError, match="length must be >= 1, got 0"):
        made(length=0)
    with pytest.raises(ValueError, match="caption_dropout must be a probability in"):
        made(caption_dropout=2.0)


def test_an_encoder_refuses_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="heads must divide dim, got depth=1, heads=3, dim=8"):
        encoder(heads=3)


@pytest.mark.parametrize("made", [encoder, stream])
def test_the_given_share_of_captions_is_hidden_in_training_as_a_whole(made) -> None:
    conditioner: TextConditioner = made(caption_dropout=0.25)
    condition = conditioner.tokens(["red apple"]).expand(4000, -1)
    shown = conditioner.shown(condition, 4000, torch.Generator().manual_seed(0))
    hidden = (shown == -1).all(dim=1)
    assert 0.22 < hidden.float().mean() < 0.28
    assert torch.equal(shown[~hidden], condition[~hidden])
    assert torch.equal(conditioner.eval().shown(condition, 4000, None), condition)


def test_an_encoder_looks_both_ways_and_not_at_empty_places() -> None:
    torch.manual_seed(0)
    conditioner = encoder().eval()
    for parameter in conditioner.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens = torch.tensor([[3, 4, 5, -1, -1]])
    last = tokens.clone()
    last[0, 2] = 9
    plain, changed = conditioner(tokens, 1).memory, conditioner(last, 1).memory
    assert ((plain - changed).abs().amax(dim=-1)[0, :4] > 1e-4).all()  # summary and all tokens see the last one
    short = encoder(length=3).eval()
    short.load_state_dict({**conditioner.state_dict(), "position": conditioner.position[:3]})
    torch.testing.assert_close(short(tokens[:, :3], 1).memory, plain[:, :4])


def test_a_stream_predicts_tokens_and_the_end_and_nothing_of_no_caption() -> None:
    torch.manual_seed(0)
    conditioner = stream().eval()
    torch.nn.init.normal_(conditioner.head.weight)
    tokens = torch.tensor([[3, 4, -1, -1, -1], [1, 2, 3, 4, 5], [-1, -1, -1, -1, -1]])
    hidden, told = torch.randn(3, 5, 8), conditioner(tokens, 3)
    result = conditioner.prefix_nll(hidden, told)
    assert result.counted.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]
    logits, end = conditioner.head(hidden), len(conditioner.words)
    expected = F.cross_entropy(logits[0, :3], torch.tensor([3, 4, end]), reduction="none")
    torch.testing.assert_close(result.nats[0], F.pad(expected, (0, 2)))
    torch.testing.assert_close(result.mean, result.nats.sum() / 8)
    assert conditioner.prefix_nll(hidden[2:], conditioner(tokens[2:], 1)).mean == 0.0


def test_a_stream_begins_before_the_text_and_ends_in_the_start() -> None:
    conditioner = stream().eval()
    tokens = torch.tensor([[3, 4, -1, -1, -1]])
    told = conditioner(tokens, 1)
    words = conditioner.embedding(tokens[:, :2]) + conditioner.position[:2]
    expected = torch.cat((conditioner.begin[None, None], words, conditioner.empty[None, 2:4]), dim=1)
    torch.testing.assert_close(told.prefix, expected)
    torch.testing.assert_close(told.start, (conditioner.start + conditioner.empty[4])[None])
