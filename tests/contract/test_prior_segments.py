"""A prior with a segment memory: the numbers and gradients of going from segment to segment, and a bounded cache."""

import copy
from itertools import accumulate

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention import DenseAttention, SegmentAttention
from vqgen.orders import available_orders
from vqgen.prior import STYLES, Prior, with_memory
from vqgen.sampling import sample_autoregressive, sample_by_confidence, sample_groups

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIGNALS = [("target", "relative"), ("shaw",), ("target", "rotary")]
ATTENTIONS = {
    "rows": SegmentAttention(4, memory=4),
    "uneven": SegmentAttention(3, memory=5),
    "no-memory": SegmentAttention(5, memory=0),
    "everything": SegmentAttention(4, memory=16),
    "two-kinds": (SegmentAttention(4, memory=2), DenseAttention()),
}

every_attention = pytest.mark.parametrize("attention", ATTENTIONS.values(), ids=ATTENTIONS.keys())
every_signal = pytest.mark.parametrize("signals", SIGNALS, ids="+".join)


def lively_prior(attention, signals=("target", "relative"), style="llama", height=4, width=4, **settings) -> Prior:
    torch.manual_seed(0)
    prior = Prior(
        20, height, width, 3, dim=16, depth=2, heads=2, style=style, signals=signals, label_dropout=0.0,
        attention=attention, **settings,
    )  # fmt: skip
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior.double()


def made_batch(count: int = 3, cells: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    positions = torch.stack([torch.randperm(cells) for _ in range(count)])
    return torch.randint(20, (count, cells)), positions, torch.arange(count) % 4 - 1


def segment_by_segment(prior: Prior, sequence: Tensor, positions: Tensor, condition: Tensor | None) -> Tensor:
    """Logits of a prior without relative or rotary signals, each segment computed after the one before it."""
    attention = prior.attentions[0]
    assert isinstance(attention, SegmentAttention)
    inputs = prior._inputs(sequence[:, :-1], condition)[0] + prior.locate(positions, batch_size=len(sequence)).added
    stored = [inputs[:, :0] for _ in prior.blocks]  # normalised hidden states before each layer, without a gradient
    starts: list[Tensor] = []
    answers = []
    for begin in range(0, inputs.shape[1], attention.segment):
        hidden = inputs[:, begin : begin + attention.segment]
        for layer, block in enumerate(prior.blocks):
            own = block.attention_norm(hidden)
            if begin == 0:
                starts.append(own[:, :1])
                known = own
            else:
                memory = stored[layer][:, max(begin - attention.memory, 1) : begin]
                known = torch.cat((starts[layer], memory, own), dim=1)
            stored[layer] = torch.cat((stored[layer], own.detach()), dim=1)
            query = block.attention.project(own, None)[0]
            _, keys, values = block.attention.project(known, None)
            count, total = query.shape[2], keys.shape[2]
            mask = torch.ones(count, total, dtype=torch.bool).tril(total - count)
            mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
            hidden = hidden + block.attention.output(mixed.transpose(1, 2).flatten(2))
            hidden = hidden + block.feed_forward(block.feed_forward_norm(hidden))
        answers.append(prior.head(prior.final_norm(hidden)))
    return torch.cat(answers, dim=1)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["rows", "uneven", "no-memory", "everything"])
def test_training_gives_the_logits_and_gradients_of_going_from_segment_to_segment(name: str, style: str) -> None:
    prior, (sequence, positions, condition) = lively_prior(ATTENTIONS[name], ("target",), style), made_batch()
    gradients = []
    for compute in (prior, lambda *batch: segment_by_segment(prior, *batch)):
        logits = compute(sequence, positions, condition)
        prior.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), sequence.flatten()).backward()
        gradients.append((logits, {key: parameter.grad.clone() for key, parameter in prior.named_parameters()}))
    (at_once, found), (one_by_one, expected) = gradients
    torch.testing.assert_close(at_once, one_by_one, atol=1e-6, rtol=1e-6)
    for key, gradient in expected.items():
        assert gradient.count_nonzero() > 0, key
        torch.testing.assert_close(found[key], gradient, atol=1e-7, rtol=1e-5, msg=key)


@every_signal
def test_gradients_stop_at_the_memory_and_not_within_a_segment(signals) -> None:
    prior, (sequence, positions, _) = lively_prior(SegmentAttention(4, memory=8), signals), made_batch()
    embedded: list[Tensor] = []

    def keep(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    handle = prior.code_embedding.register_forward_hook(keep)
    logits = prior(sequence, positions)
    handle.remove()
    for step in range(16):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), embedded[0], retain_graph=True)
        reached = (gradient.abs().sum(dim=(0, 2)) > 0).tolist()  # code i is read by step i + 1
        assert reached == [step // 4 * 4 <= code + 1 <= step for code in range(15)]
    changed = sequence.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 20
    assert not torch.allclose(prior(changed, positions)[:, 9], logits[:, 9])  # and yet the memory is read


@every_attention
@every_signal
@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (1, 3), (1, 1)])
@torch.no_grad()
def test_cached_logits_equal_the_full_forward_pass_for_every_order(attention, signals, height, width) -> None:
    orders = available_orders(height=height, width=width)  # one image in each order, all in one batch
    prior, cells = lively_prior(attention, signals, height=height, width=width), height * width
    sequence, condition = torch.randint(20, (len(orders), cells)), torch.arange(len(orders)) % 4 - 1
    positions = torch.stack([order.positions for order in orders.values()])
    cache = prior.new_cache(len(orders))
    steps = [prior.advance(sequence[:, :0], positions, cache, condition)]
    steps += [prior.advance(sequence[:, t : t + 1], positions, cache) for t in range(cells - 1)]
    full = prior(sequence, positions, condition)
    assert full.std() > 0.3
    torch.testing.assert_close(torch.cat(steps, dim=1), full, atol=1e-10, rtol=0.0)


@every_attention
@pytest.mark.parametrize("parts", [(15,), (5, 10), (0, 1, 6, 8), (3, 1, 1, 10)])
def test_cached_logits_do_not_depend_on_how_the_sequence_is_cut(attention, parts: tuple[int, ...]) -> None:
    prior, (sequence, positions, _) = lively_prior(attention), made_batch()
    cache, seen, pieces = prior.new_cache(3), 0, []
    for count in parts:
        pieces.append(prior.advance(sequence[:, seen : seen + count], positions, cache))
        seen += count
    torch.testing.assert_close(torch.cat(pieces, dim=1), prior(sequence, positions), atol=1e-10, rtol=0.0)


@torch.no_grad()
def test_the_cache_does_not_grow_with_the_sequence() -> None:
    prior, (sequence, positions, _) = lively_prior(SegmentAttention(2, memory=4)), made_batch()
    cache = prior.new_cache(3)
    dense = lively_prior(None).new_cache(3)
    assert cache.bytes * 16 == dense.bytes * (1 + 2 + 4)
    prior.advance(sequence[:, :10], positions, cache)  # a long beginning is let go of with the next steps
    for step in range(10, 15):
        prior.advance(sequence[:, step : step + 1], positions, cache)
    assert cache.length == 16
    assert cache.bytes * 16 == dense.bytes * (1 + 2 + 4)


@every_attention
@torch.no_grad()
def test_logits_of_every_group_equal_a_full_forward_pass(attention) -> None:
    prior, groups = lively_prior(attention), (1, 2, 4, 9)
    sequence, positions, _ = made_batch()
    cache, previous = prior.new_cache(3), sequence[:, :0]
    for start, size in zip(accumulate(groups, initial=0), groups, strict=False):
        answers = prior.advance(previous, positions, cache, cells=positions[:, start : start + size])
        previous = sequence[:, start : start + size]
        for cell in range(size):
            moved = positions.clone()
            moved[:, [start, start + cell]] = positions[:, [start + cell, start]]
            expected = prior(sequence[:, : start + 1], moved)[:, start]
            torch.testing.assert_close(answers[:, cell], expected, atol=1e-10, rtol=0.0)


@every_attention
@pytest.mark.parametrize("step", [0, 5, 13])
def test_logits_depend_on_no_later_code_and_on_no_later_position(attention, step: int) -> None:
    prior, (sequence, positions, _) = lively_prior(attention), made_batch()
    before, changed, moved = prior(sequence, positions), sequence.clone(), positions.clone()
    changed[:, step:] = (changed[:, step:] + 1) % 20
    moved[:, step + 1 :] = moved[:, step + 1 :].flip(1)
    for after in (prior(changed, positions), prior(sequence, moved)):
        torch.testing.assert_close(after[:, : step + 1], before[:, : step + 1], atol=1e-12, rtol=0.0)
    assert not torch.allclose(prior(changed, positions)[:, step + 1 :], before[:, step + 1 :])
    torch.testing.assert_close(prior(sequence[:, : step + 1], positions), before[:, : step + 1], atol=1e-12, rtol=0.0)


@every_signal
def test_with_a_memory_of_the_whole_grid_it_is_the_dense_prior_with_the_same_weights(signals) -> None:
    prior, batch = lively_prior(SegmentAttention(4, memory=2), signals), made_batch()
    dense = lively_prior(None, signals)
    dense.load_state_dict(prior.state_dict())
    assert not torch.allclose(prior(*batch), dense(*batch))
    whole = with_memory(prior, 16)
    torch.testing.assert_close(whole(*batch), dense(*batch), atol=1e-10, rtol=0.0)
    drawn = sample_autoregressive(whole, batch[1], batch[2], seed=3)
    assert torch.equal(drawn, sample_autoregressive(dense, batch[1], batch[2], seed=3))
    assert whole.new_cache(1).bytes == dense.new_cache(1).bytes


def test_another_memory_changes_nothing_of_the_prior_itself(tmp_path) -> None:
    prior, batch = lively_prior(SegmentAttention(4, memory=2)).float().eval(), made_batch()
    before, description = prior(*batch), prior.fingerprint()
    longer = with_memory(prior, 8)
    assert not torch.allclose(longer(*batch), before)
    assert torch.equal(prior(*batch), before)
    assert prior.fingerprint() == description
    longer.save_pretrained(tmp_path / "longer")
    again = Prior.from_pretrained(tmp_path / "longer")
    assert again.attention[0].memory == 8
    assert with_memory(with_memory(prior, 8), 2).fingerprint() == description
    with pytest.raises(ValueError, match="expected a prior with SegmentAttention in some layers"):
        with_memory(lively_prior(None), 8)


def test_reversible_layers_stop_the_same_gradients() -> None:
    prior, batch = lively_prior(SegmentAttention(4, memory=4), reversible=True), made_batch()
    prior(*batch).square().mean().backward()
    step = prior.code_embedding.weight.grad.clone()
    prior.zero_grad()
    with_memory(prior, 0)(*batch).square().mean().backward()
    assert step.count_nonzero() > 0
    assert not torch.equal(prior.code_embedding.weight.grad, step)


@pytest.mark.parametrize("device", DEVICES)
@every_signal
def test_what_is_drawn_and_learned_does_not_depend_on_the_device(signals, device: str) -> None:
    prior = lively_prior(SegmentAttention(4, memory=3), signals)
    there = copy.deepcopy(prior).to(device)
    _, positions, labels = made_batch(2)
    expected = sample_autoregressive(prior, positions, labels, seed=3)
    assert torch.equal(sample_autoregressive(there, positions, labels, seed=3).cpu(), expected)
    grouped = sample_groups(prior, positions, labels, groups=(1, 2, 5, 8), seed=3)
    assert torch.equal(sample_groups(there, positions, labels, groups=(1, 2, 5, 8), seed=3).cpu(), grouped)
    chosen = sample_by_confidence(prior, labels, seed=3).positions
    assert torch.equal(sample_by_confidence(there, labels, seed=3).positions.cpu(), chosen)
    prior(expected, positions, labels).square().mean().backward()
    there(expected.to(device), positions.to(device), labels.to(device)).square().mean().backward()
    for (name, here), moved in zip(prior.named_parameters(), there.parameters(), strict=True):
        assert here.grad is not None, name
        assert moved.grad is not None, name
        torch.testing.assert_close(moved.grad.cpu(), here.grad, atol=1e-6, rtol=1e-6, msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_it_trains_in_half_precision(device: str) -> None:
    prior = lively_prior(SegmentAttention(4, memory=4)).float().to(device)
    sequence = torch.randint(20, (2, 16), device=device)
    with torch.autocast(device, torch.bfloat16):
        loss = prior(sequence, torch.arange(16, device=device)).float().square().mean()
    loss.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in prior.parameters() if parameter.grad is not None)
