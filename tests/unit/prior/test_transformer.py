import math

import pytest
import torch
from torch.nn import functional as F

from vqgen.prior import STYLES, Prior


def small_prior(**settings: object) -> Prior:
    return Prior(**{"codebook_size": 20, "height": 2, "width": 3, "dim": 16, "depth": 2, "heads": 2, **settings})


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("num_classes", [0, 4])
def test_untrained_prior_gives_every_code_the_same_probability(style: str, num_classes: int) -> None:
    prior, sequence = small_prior(style=style, num_classes=num_classes), torch.randint(20, (3, 6))
    loss = F.cross_entropy(prior(sequence, torch.arange(6)).transpose(1, 2), sequence)
    assert float(loss.detach()) == pytest.approx(math.log(20), abs=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_nll_is_of_the_codes_in_visiting_order(label_smoothing: float) -> None:
    torch.manual_seed(0)
    prior = small_prior()
    torch.nn.init.normal_(prior.head.weight)
    codes, positions = torch.randint(20, (3, 2, 3)), torch.stack([torch.randperm(6) for _ in range(3)])
    sequence = codes.flatten(1).gather(1, positions)
    nats = prior.nll(codes, positions, label_smoothing=label_smoothing)
    log = prior(sequence, positions).log_softmax(dim=-1)
    found = -(1 - label_smoothing) * log.gather(2, sequence[..., None])[..., 0] - label_smoothing * log.mean(dim=-1)
    torch.testing.assert_close(nats, found)


@pytest.mark.parametrize("style", STYLES)
def test_prior_learns_a_rule_of_its_order(style: str) -> None:
    torch.manual_seed(0)
    prior = small_prior(style=style, num_classes=2)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-2)
    for _ in range(50):
        labels = torch.randint(2, (32,))
        first = torch.randint(10, (32, 1))
        sequence = first + torch.arange(6) * (1 + labels[:, None])  # counts by ones or, with label 1, by twos
        loss = F.cross_entropy(prior(sequence, torch.arange(6), labels)[:, 1:].transpose(1, 2), sequence[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    prior.eval()
    sequence = torch.tensor([[4, 5, 6, 7, 8, 9], [4, 6, 8, 10, 12, 14]])
    assert prior(sequence, torch.arange(6), torch.tensor([0, 1]))[:, 1:].argmax(-1).tolist() == sequence[:, 1:].tolist()


def test_condition_changes_every_prediction() -> None:
    prior = small_prior(num_classes=3).eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    sequence = torch.randint(20, (1, 6))
    first, second = (prior(sequence, torch.arange(6), torch.tensor([label])) for label in (0, 1))
    assert ((first - second).abs().amax(dim=-1) > 1e-3).all()


def test_no_condition_equals_the_label_that_says_none() -> None:
    prior, sequence = small_prior(num_classes=3).eval(), torch.randint(20, (2, 6))
    torch.nn.init.normal_(prior.head.weight)
    untold = prior(sequence, torch.arange(6), torch.tensor([-1, -1]))
    assert torch.equal(prior(sequence, torch.arange(6)), untold)


def test_advance_gives_the_last_logits_alone_when_asked() -> None:
    prior, sequence, positions = small_prior().eval(), torch.randint(20, (2, 6)), torch.randperm(6)
    torch.nn.init.normal_(prior.head.weight)
    every = prior.advance(sequence[:, :3], positions, prior.new_cache(2))
    last = prior.advance(sequence[:, :3], positions, prior.new_cache(2), last_only=True)
    assert every.shape == (2, 4, 20)
    torch.testing.assert_close(last, every[:, -1:])


def test_trimmed_cache_continues_with_another_ending() -> None:
    prior, sequence, positions = small_prior().eval(), torch.randint(20, (2, 6)), torch.randperm(6)
    torch.nn.init.normal_(prior.head.weight)
    cache = prior.new_cache(2)
    prior.advance(torch.cat((sequence[:, :2], torch.zeros(2, 2, dtype=torch.int64)), 1), positions, cache)
    cache.trim(3)
    logits = prior.advance(sequence[:, 2:4], positions, cache)
    torch.testing.assert_close(logits, prior(sequence, positions)[:, 3:5], atol=1e-5, rtol=1e-5)


def test_new_cache_has_the_prior_s_precision_and_size() -> None:
    cache = small_prior().double().new_cache(5)
    assert cache.layers[0].keys.dtype == torch.float64
    assert cache.layers[0].keys.shape == (5, 2, 6, 8)
    assert len(cache.layers) == 2


def test_prior_works_in_reduced_precision() -> None:
    prior, sequence = small_prior(num_classes=2), torch.randint(20, (2, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(prior(sequence, torch.arange(6), torch.tensor([0, 1])).float().transpose(1, 2), sequence)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(20), abs=1e-2)


def test_positions_beyond_the_sequence_are_not_read() -> None:
    prior, sequence = small_prior().eval(), torch.randint(20, (2, 4))
    torch.nn.init.normal_(prior.head.weight)
    assert torch.equal(prior(sequence, torch.arange(6)), prior(sequence, torch.arange(4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codebook_size": 0}, "codebook_size must be >= 1, got codebook_size=0"),
        ({"height": 0}, "height must be >= 1, got height=0"),
        ({"num_classes": -1}, "num_classes must be >= 0, got -1; pass 0 for an unconditional prior"),
        ({"heads": 3}, "dim must be divisible by heads, got dim=16 and heads=3"),
        ({"style": "bert"}, "style must be one of gpt, llama, got 'bert'"),
        ({"signals": ()}, "at least one of step, cell, target, rotary, instruction, double, shaw, relative, got none"),
        ({"signals": ("steps",)}, "among step, cell, target, rotary, instruction, double, shaw, relative, got 'steps'"),
        ({"signals": ("cell", "cell")}, "must differ from each other, got 'cell' twice"),
        ({"dropout": 1.0}, r"dropout must be a probability in \[0, 1\), got 1.0"),
    ],
)
def test_prior_refuses_arguments_that_make_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_prior(**settings)


def test_prior_refuses_an_empty_sequence() -> None:
    with pytest.raises(ValueError, match="a sequence of at least one code, got none"):
        small_prior()(torch.zeros(2, 0, dtype=torch.int64), torch.arange(6))


def test_advance_refuses_nothing_new_once_begun() -> None:
    prior, nothing = small_prior(), torch.zeros(2, 0, dtype=torch.int64)
    cache = prior.new_cache(2)
    prior.advance(nothing, torch.arange(6), cache)
    with pytest.raises(ValueError, match="at least one code to follow the 1 steps in the cache, got none"):
        prior.advance(nothing, torch.arange(6), cache)


def test_cells_come_with_the_positions_themselves() -> None:
    prior = Prior(20, 2, 3, dim=16, depth=1, heads=2)
    located = prior.locate(torch.arange(6), batch_size=2)
    with pytest.raises(TypeError, match="expected the positions themselves beside cells"):
        prior.advance(torch.empty(2, 0).long(), located, prior.new_cache(2), cells=torch.arange(2))


def test_a_question_can_be_taken_back_and_asked_again() -> None:
    prior, sequence, positions = Prior(20, 2, 3, dim=16, depth=1, heads=2), torch.randint(20, (2, 6)), torch.randperm(6)
    torch.nn.init.normal_(prior.head.weight)
    cache = prior.new_cache(2)
    first = prior.advance(sequence[:, :2], positions, cache, cells=positions[2:])
    cache.trim(cache.length - 1)
    again = prior.advance(sequence[:, 1:2], positions, cache, cells=positions[2:])
    torch.testing.assert_close(again, first)
