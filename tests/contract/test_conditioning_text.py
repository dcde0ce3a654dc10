"""Captions told in either way keep what every prior promises: cache, causality, guidance, groups, devices, folders."""

import copy

import pytest
import torch
from torch import Tensor

from vqgen.attention import ColumnAttention, Local2D, LSHAttention, RowAttention, SegmentAttention, Strided
from vqgen.conditioning import TextConditioner, TextEncoder, TextStream, train_vocabulary
from vqgen.orders import scan_order
from vqgen.prior import STYLES, Prior
from vqgen.sampling import sample_autoregressive, sample_by_confidence, sample_groups

WAYS = ("encoder", "stream")
CAPTIONS = ["red apple", "green apple, fruit", "", "thumbs up"]
VOCABULARY = train_vocabulary([*CAPTIONS, *CAPTIONS], size=270)
ORDERS = ("raster", "hilbert", "random")
SIGNALS = (("target", "rotary"), ("step",), ("instruction",))
TOLERANCE = 1e-4
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def conditioner_of(way: str, dim: int = 16) -> TextConditioner:
    if way == "encoder":
        return TextEncoder(VOCABULARY, dim, length=7, depth=2, heads=2)
    return TextStream(VOCABULARY, dim, length=7)


def lively_prior(way: str, signals: tuple[str, ...] = ("target", "rotary"), style: str = "llama") -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 3, 4, dim=16, depth=2, heads=2, style=style, signals=signals, conditioner=conditioner_of(way))
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior.eval()


def tokens_of(prior: Prior, captions: list[str]) -> Tensor:
    assert isinstance(prior.conditioner, TextConditioner)
    return prior.conditioner.tokens(captions)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("signals", SIGNALS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("way", WAYS)
def test_cached_logits_equal_the_full_forward_pass(way: str, style: str, signals: tuple[str, ...], order: str) -> None:
    prior, positions = lively_prior(way, signals, style), scan_order(order, height=3, width=4).positions
    sequence, condition = torch.randint(20, (4, 12)), tokens_of(prior, CAPTIONS)
    full = prior(sequence, positions, condition)
    assert full.std() > 0.3
    assert (full[0] - prior(sequence[:1], positions, condition[1:2])[0]).abs().max() > 0.05  # the caption matters
    for cuts in ((0, 1, 4, 5, 11), (2, 11), (11,)):
        cache, pieces, seen = prior.new_cache(4), [], 0
        for cut in cuts:
            pieces.append(prior.advance(sequence[:, seen:cut], positions, cache, condition))
            seen = cut
        assert cache.length == 12
        torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize("signals", SIGNALS, ids="+".join)
@pytest.mark.parametrize("way", WAYS)
def test_a_cache_can_go_back_and_begin_again_with_another_caption(way: str, signals: tuple[str, ...]) -> None:
    prior, positions = lively_prior(way, signals), torch.arange(12)
    first, second = tokens_of(prior, ["red apple"]), tokens_of(prior, ["thumbs up"])
    sequence, cache = torch.randint(20, (1, 12)), prior.new_cache(1)
    prior.advance(sequence[:, :5], positions, cache, first)
    cache.trim(3)
    again = prior.advance(sequence[:, 2:6], positions, cache)
    torch.testing.assert_close(again, prior(sequence, positions, first)[:, 3:7], atol=TOLERANCE, rtol=0.0)
    cache.reset()
    anew = prior.advance(sequence[:, :5], positions, cache, second)
    torch.testing.assert_close(anew, prior(sequence, positions, second)[:, :6], atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize("known", [0, 4])
@pytest.mark.parametrize("signals", SIGNALS, ids="+".join)
@pytest.mark.parametrize("way", WAYS)
def test_questions_are_answered_as_a_full_pass_would(way: str, signals: tuple[str, ...], known: int) -> None:
    prior, condition = lively_prior(way, signals), None
    condition = tokens_of(prior, CAPTIONS[:2])
    order, sequence = torch.randperm(12), torch.randint(20, (2, 12))
    cells, cache = order[known : known + 3], prior.new_cache(2)
    answers = prior.advance(sequence[:, :known], order, cache, condition, cells=cells)
    for number, cell in enumerate(cells.tolist()):
        rest = [other for other in order[known:].tolist() if other != cell]
        positions = torch.tensor([*order[:known].tolist(), cell, *rest])
        expected = prior(sequence, positions, condition)[:, known]
        torch.testing.assert_close(answers[:, number], expected, atol=TOLERANCE, rtol=0.0)
    assert cache.length == known + 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("signals", SIGNALS, ids="+".join)
@pytest.mark.parametrize("way", WAYS)
def test_no_gradient_comes_from_later_codes_and_some_from_all_before(
    way: str, signals: tuple[str, ...], order: str
) -> None:
    prior, positions = lively_prior(way, signals), scan_order(order, height=3, width=4).positions
    embedded: list[Tensor] = []
    prior.code_embedding.register_forward_hook(lambda module, inputs, output: embedded.append(output) or output)
    logits = prior(torch.randint(20, (1, 12)), positions, tokens_of(prior, ["red apple"]))
    for step in (0, 5, 11):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), embedded[0], retain_graph=True)
        reached = gradient[0].abs().sum(dim=-1) > 0  # the codes of steps 0 .. 10
        assert reached.tolist() == [earlier < step for earlier in range(11)]


def test_text_in_one_stream_sees_only_the_text_before_it() -> None:
    prior = lively_prior("stream")
    stream = prior.conditioner
    assert isinstance(stream, TextStream)
    codes, positions = torch.randint(20, (1, 3, 4)), torch.arange(12)[None]
    tokens = stream.tokens(["green apple"])
    changed = tokens.clone()
    changed[0, 3] = (tokens[0, 3] + 1) % 256
    nats, others = (prior.joint_nll(codes, positions, each)[1] for each in (tokens, changed))
    assert nats is not None
    assert others is not None
    torch.testing.assert_close(nats.nats[:, :3], others.nats[:, :3])
    assert (nats.nats[:, 3:5] - others.nats[:, 3:5]).abs().min() > 1e-3
    other_codes = prior.joint_nll((codes + 1) % 20, positions, tokens)[1]
    assert other_codes is not None
    torch.testing.assert_close(nats.nats, other_codes.nats)


@pytest.mark.parametrize("way", WAYS)
def test_no_caption_an_empty_one_and_a_hidden_one_are_the_same(way: str) -> None:
    prior, positions = lively_prior(way), torch.arange(12)
    sequence = torch.randint(20, (2, 12))
    untold = prior(sequence, positions)
    torch.testing.assert_close(prior(sequence, positions, tokens_of(prior, ["", "  "])), untold)
    prior.conditioner.caption_dropout = 1.0
    torch.testing.assert_close(prior.train()(sequence, positions, tokens_of(prior, CAPTIONS[:2])), untold)


@pytest.mark.parametrize("way", WAYS)
def test_guided_draws_follow_the_logits_with_and_without_the_caption(way: str) -> None:
    prior, positions = lively_prior(way).double(), torch.randperm(12)
    condition = tokens_of(prior, CAPTIONS)
    drawn = sample_autoregressive(prior, positions, condition, guidance=3.0, temperature=0.0)
    told, untold = prior(drawn, positions, condition), prior(drawn, positions)
    assert torch.equal((untold + 3.0 * (told - untold)).argmax(dim=-1), drawn)
    assert not torch.equal(told.argmax(dim=-1)[[0, 1, 3]], drawn[[0, 1, 3]])
    torch.testing.assert_close(told[2], untold[2])  # the third has no caption


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_drawn_of_a_caption_does_not_depend_on_the_device(way: str, device: str) -> None:
    prior = lively_prior(way).double()  # so that rounding decides no code
    there = copy.deepcopy(prior).to(device)
    condition, positions = tokens_of(prior, CAPTIONS), torch.randperm(12)
    settings = {"guidance": 2.0, "top_k": 10, "seed": 3}
    expected = sample_autoregressive(prior, positions, condition, **settings)
    assert torch.equal(sample_autoregressive(there, positions, condition.to(device), **settings).cpu(), expected)
    alone = sample_autoregressive(prior, positions, condition[3:], first_index=3, **settings)
    assert torch.equal(alone, expected[3:])
    expected = sample_groups(prior, positions, condition, groups=(1, 3, 8), **settings)
    assert torch.equal(sample_groups(there, positions, condition, groups=(1, 3, 8), **settings).cpu(), expected)
    expected = sample_by_confidence(prior, condition, groups=(2, 10), **settings).positions
    assert torch.equal(sample_by_confidence(there, condition, groups=(2, 10), **settings).positions.cpu(), expected)


@pytest.mark.parametrize("way", WAYS)
def test_training_on_captions_reaches_every_parameter_on_every_device(way: str, device: str) -> None:
    prior = lively_prior(way).to(device).train()
    prior.conditioner.caption_dropout = 0.5
    codes, condition = torch.randint(20, (8, 3, 4), device=device), tokens_of(prior, CAPTIONS * 2).to(device)
    nats, of_text = prior.joint_nll(codes, torch.arange(12, device=device).expand(8, -1), condition)
    (nats.mean() + (0.0 if of_text is None else of_text.mean)).backward()
    assert [name for name, parameter in prior.named_parameters() if parameter.grad is None] == []
    assert (of_text is None) == (way == "encoder")


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_prior_reads_prompts_without_any_other_file(way: str, tmp_path) -> None:
    prior = lively_prior(way)
    prior.save_pretrained(tmp_path / "prior")
    assert sorted(file.name for file in (tmp_path / "prior").iterdir()) == ["config.json", "model.safetensors"]
    found = Prior.from_pretrained(tmp_path / "prior")
    sequence, positions = torch.randint(20, (1, 12)), torch.arange(12)
    told = found(sequence, positions, tokens_of(found, ["Green Apple"]))
    torch.testing.assert_close(told, prior(sequence, positions, tokens_of(prior, ["green apple"])))
    assert found.fingerprint() == prior.fingerprint()


ATTENTIONS = {
    "local": lambda: Local2D(block=2, margin=1),
    "strided": lambda: Strided(),
    "row and column": lambda: (RowAttention(), ColumnAttention()),
    "lsh": lambda: LSHAttention(4),
    "segments": lambda: SegmentAttention(segment=4, memory=4),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("way", WAYS)
def test_captions_go_with_every_attention(way: str, attention: str, order: str) -> None:
    torch.manual_seed(0)
    prior = Prior(
        20,
        3,
        4,
        dim=16,
        depth=2,
        heads=2,
        signals=("target",),
        conditioner=conditioner_of(way),
        attention=ATTENTIONS[attention](),
    )
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    positions, condition = scan_order(order, height=3, width=4).positions, tokens_of(prior.eval(), CAPTIONS)
    sequence, cache = torch.randint(20, (4, 12)), prior.new_cache(4)
    full = prior(sequence, positions, condition)
    pieces = [prior.advance(sequence[:, :0], positions, cache, condition)]
    pieces += [prior.advance(sequence[:, step : step + 1], positions, cache) for step in range(11)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=TOLERANCE, rtol=0.0)
    untold = prior(sequence, positions)
    assert ((full - untold).abs().amax(dim=-1)[[0, 1, 3]] > 1e-4).all()  # every step looks at its caption
