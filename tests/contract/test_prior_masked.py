"""A masked prior sees every visible code from everywhere, and of the hidden ones nothing."""

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vqgen.attention import (
    Attention,
    BidirectionalAttention,
    BigBird,
    DenseAttention,
    Local2D,
    LSHAttention,
    RowAttention,
)
from vqgen.conditioning import AlignedGridConditioner, Conditioner, LabelConditioner, PrefixGridConditioner, Told
from vqgen.prior import STYLES, MaskedPrior
from vqgen.prior import masked as masked_file
from vqgen.sampling import sample_masked

HEIGHT, WIDTH, CELLS = 3, 4, 12
SIGNALS = [("cell", "rotary"), ("cell",), ("rotary",), ("target", "rotary")]
GRID = {"grid_height": 2, "grid_width": 2}

every_style = pytest.mark.parametrize("style", STYLES)
every_signal = pytest.mark.parametrize("signals", SIGNALS, ids="+".join)


class WithMemory(Conditioner):
    """Three vectors by label to look at, the last of which labels 0 and -1 lack."""

    memory_rows = 3

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.vectors = nn.Embedding(4, 3 * dim)
        self.start = nn.Parameter(torch.randn(dim))

    def forward(self, condition: Tensor | None, batch_size: int, generator: torch.Generator | None = None) -> Told:
        label = torch.full((batch_size,), -1) if condition is None else condition
        mask = torch.ones(batch_size, 3, dtype=torch.bool)
        mask[label < 1, 2] = False
        memory = self.vectors(label.clamp_min(0)).view(batch_size, 3, self.dim)
        return Told(self.start.expand(batch_size, -1), memory=memory, memory_mask=mask)


CONDITIONS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "none": (lambda: None, ()),
    "labels": (lambda: LabelConditioner(3, 16, label_dropout=0.0), (2,)),
    "aligned": (lambda: AlignedGridConditioner(3, **GRID, dim=16, height=3, width=4, condition_dropout=0.0), (2, 2, 2)),
    "prefix": (lambda: PrefixGridConditioner(3, **GRID, dim=16, condition_dropout=0.0), (2, 2, 2)),
    "memory": (lambda: WithMemory(16), (2,)),
}


def lively_prior(style: str = "llama", signals: tuple[str, ...] = ("cell", "rotary"), **settings: Any) -> MaskedPrior:
    """A prior whose every parameter matters: as built, its blocks add nothing and its logits are all zero."""
    torch.manual_seed(0)
    size = {"codebook_size": 20, "height": HEIGHT, "width": WIDTH, "dim": 16, "depth": 2, "heads": 2}
    prior = MaskedPrior(**size | {"style": style, "signals": signals} | settings)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.5)
    return prior


def codes_and_hidden() -> tuple[Tensor, Tensor]:
    hidden = torch.rand(2, HEIGHT, WIDTH) < 0.5
    hidden[:, 0, :2] = torch.tensor([False, True])
    return torch.randint(20, (2, HEIGHT, WIDTH)), hidden


def condition_of(name: str) -> Tensor | None:
    shape = CONDITIONS[name][1]
    return torch.randint(3, shape) if shape else None


@every_signal
@every_style
@pytest.mark.parametrize("condition", CONDITIONS)
def test_logits_do_not_depend_on_hidden_codes_and_do_on_all_others(
    style: str, signals: tuple[str, ...], condition: str
) -> None:
    prior = lively_prior(style, signals, conditioner=CONDITIONS[condition][0]())
    (codes, hidden), told = codes_and_hidden(), condition_of(condition)
    other = (codes + torch.randint(1, 20, codes.shape)) % 20
    before = prior(codes, hidden, told)
    assert torch.equal(prior(torch.where(hidden, other, codes), hidden, told), before)
    cells = hidden[0].flatten().logical_not().nonzero()[:, 0]
    for cell in cells.tolist():
        changed = codes.clone()
        changed.flatten(1)[:, cell] = other.flatten(1)[:, cell]
        moved = (prior(changed, hidden, told)[0] - before[0]).abs().sum(dim=-1)
        assert (moved > 0).all()  # every cell sees every other, whichever comes first in any order


@every_style
def test_logits_depend_on_which_cells_are_hidden_and_on_where_codes_are(style: str) -> None:
    prior, (codes, hidden) = lively_prior(style), codes_and_hidden()
    before = prior(codes, hidden)
    assert not torch.allclose(prior(codes, ~hidden), before, atol=1e-3)
    nothing = torch.ones_like(hidden)
    logits = prior(codes, nothing).flatten(1, 2)
    assert len({tuple(row.tolist()) for row in logits[0]}) == CELLS  # of what is all hidden, each cell knows its place


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name != "none"])
def test_conditions_are_heard_and_told_once_say_the_same(condition: str) -> None:
    prior = lively_prior(conditioner=CONDITIONS[condition][0]()).eval()
    (codes, hidden), told = codes_and_hidden(), condition_of(condition)
    assert told is not None
    logits = prior(codes, hidden, told)
    assert torch.equal(prior(codes, hidden, prior.conditioner(told, 2)), logits)
    assert not torch.allclose(prior(codes, hidden, (told + 1) % 3), logits, atol=1e-3)
    torch.testing.assert_close(prior(codes, hidden, None), prior(codes, hidden, torch.full_like(told, -1)))


@every_style
def test_answers_for_some_cells_are_those_of_all(style: str) -> None:
    prior, (codes, hidden) = lively_prior(style), codes_and_hidden()
    prior.use_codebook(torch.randn(20, 5))
    assert prior.code_features is not None
    nn.init.normal_(prior.code_features.out.weight)
    cells = torch.stack([torch.randperm(CELLS)[:5] for _ in range(2)])
    every = prior(codes, hidden).flatten(1, 2)
    expected = torch.stack([logits[chosen] for logits, chosen in zip(every, cells, strict=True)])
    torch.testing.assert_close(prior(codes, hidden, cells=cells), expected)


def test_an_attention_that_asks_what_was_visited_before_hears_everything() -> None:
    bidirectional, causal = lively_prior(), lively_prior(attention=DenseAttention())
    codes, hidden = codes_and_hidden()
    torch.testing.assert_close(causal(codes, hidden), bidirectional(codes, hidden))


def test_the_bound_is_the_mean_over_all_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = lively_prior(height=1, width=4).eval()
    codes, orders = torch.randint(20, (1, 1, 4)), torch.tensor(list(permutations(range(4))))
    found = []
    for count in range(1, 5):
        monkeypatch.setattr(masked_file, "masked_counts", lambda batch, *_, count=count: torch.full((batch,), count))
        # Keys that sort cells into every order once, in place of random ones.
        monkeypatch.setattr(torch, "rand", lambda *_, **__: orders.double())
        found.append(prior.nll(codes.expand(len(orders), -1, -1), orders).mean())
    one_by_one = []
    for order in orders:  # score them one after the other, as the bound imagines it
        hidden = torch.ones(1, 1, 4, dtype=torch.bool)
        for cell in order:
            log = prior(codes, hidden).log_softmax(dim=-1)[0, 0, cell]
            one_by_one.append(-log[codes[0, 0, cell]])
            hidden[0, 0, cell] = False
    torch.testing.assert_close(torch.stack(found).mean(), torch.stack(one_by_one).mean())


def test_a_pattern_reaches_its_cells_on_all_sides_and_no_others() -> None:
    prior = lively_prior(depth=1, attention=Local2D(block=1, margin=1))
    codes, hidden = torch.randint(20, (1, HEIGHT, WIDTH)), torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    before = prior(codes, hidden)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            changed = codes.clone()
            changed[0, row, column] = (codes[0, row, column] + 1) % 20
            moved = (prior(changed, hidden) - before)[0].abs().sum(dim=-1) > 0
            near = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
            near[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
            assert torch.equal(moved, near)


@pytest.mark.parametrize("attention", [BigBird(), RowAttention(), LSHAttention()], ids=lambda each: type(each).__name__)
def test_attentions_that_need_no_order_draw_and_learn(attention: Attention) -> None:
    signals = ("cell",) if attention.shared_query_key else ("cell", "rotary")
    prior = lively_prior(signals=signals, attention=(attention, BidirectionalAttention()))
    codes, hidden = codes_and_hidden()
    prior.nats(codes, hidden).sum().backward()
    assert all(parameter.grad is not None for parameter in prior.blocks.parameters())
    assert sample_masked(prior, batch_size=2, steps=3).shape == (2, HEIGHT, WIDTH)
