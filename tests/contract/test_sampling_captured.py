"""Passes that are replayed draw what passes do that are not; without a GPU the same computation runs unrecorded."""

import pytest
import torch

from vqgen.attention import BidirectionalAttention
from vqgen.prior import SIGNALS, Prior
from vqgen.sampling import guided, sample_autoregressive, sample_by_confidence, sample_groups
from vqgen.sampling.captured import ROWS, CapturedPasses, capturable

COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary")]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def lively_prior(signals: tuple[str, ...] = ("target", "rotary"), side: int = 4) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, side, side, 3, dim=32, depth=2, heads=2, signals=signals, label_dropout=0.0)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return prior.double()  # so that rounding decides no code


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[CapturedPasses]:
    """Replay on every device, and keep what replays, so that a test can see that it did."""
    made: list[CapturedPasses] = []

    class Counted(CapturedPasses):
        def __init__(self, *arguments, **named) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    monkeypatch.setattr(guided, "CAPTURED_ON", ("cpu", "cuda"))
    monkeypatch.setattr(guided, "CapturedPasses", Counted)
    return made


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("groups", [(1,) * 16, (1, 1, 1, 2, 3, 2, 3, 3), (4, 4, 4, 4)])
def test_replayed_passes_draw_the_same_codes(
    monkeypatch: pytest.MonkeyPatch, device: str, signals: tuple[str, ...], shared: bool, groups: tuple[int, ...]
) -> None:
    prior, labels = lively_prior(signals).to(device), torch.tensor([0, 2, 1])
    positions = torch.randperm(16) if shared else torch.stack([torch.randperm(16) for _ in range(3)])
    monkeypatch.setattr(guided, "CAPTURED_ON", ())
    expected = sample_groups(prior, positions, labels, groups=groups, guidance=2.0, seed=4)
    monkeypatch.setattr(guided, "CAPTURED_ON", ("cpu", "cuda"))
    drawn = sample_groups(prior, positions, labels, groups=groups, guidance=2.0, seed=4)
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_all_passes_of_drawing_one_by_one_are_replayed(device: str, counted: list[CapturedPasses]) -> None:
    sample_autoregressive(lively_prior().to(device), torch.arange(16), torch.tensor([1]))
    (passes,) = counted
    assert passes.replayed == 16
    assert passes.graphs.keys() == {1}


def test_most_certain_cells_are_the_same(monkeypatch: pytest.MonkeyPatch, counted: list[CapturedPasses]) -> None:
    prior, labels = lively_prior(side=3), torch.tensor([0, 1])
    drawn = sample_by_confidence(prior, labels)
    monkeypatch.setattr(guided, "CAPTURED_ON", ())
    assert torch.equal(sample_by_confidence(prior, labels).positions, drawn.positions)
    assert counted[0].replayed > 0


def test_passes_of_more_rows_than_any_graph_run_as_they_are(counted: list[CapturedPasses]) -> None:
    prior = lively_prior(side=16)
    groups = (1, 1, ROWS[-1] + 1, 64, 256 - 67 - 64)
    assert sample_groups(prior, torch.randperm(256), torch.tensor([0]), groups=groups).shape == (1, 256)
    assert not counted[0].graphs


def test_a_few_passes_are_not_worth_a_graph(counted: list[CapturedPasses]) -> None:
    sample_groups(lively_prior(), torch.randperm(16), torch.tensor([0]), groups=(1, 2, 4, 9))
    assert not counted[0].graphs


def test_a_later_call_is_not_touched_by_an_earlier_one(counted: list[CapturedPasses]) -> None:
    prior, positions, label = lively_prior(), torch.randperm(16), torch.tensor([1])
    first = sample_autoregressive(prior, positions, label, seed=1)
    sample_autoregressive(prior, positions, label, seed=2)
    assert torch.equal(sample_autoregressive(prior, positions, label, seed=1), first)
    assert "_layers" not in vars(prior)
    assert len(counted) == 3


def test_a_half_filled_cache_does_not_read_what_memory_held(counted: list[CapturedPasses]) -> None:
    prior = lively_prior()
    cache = prior.new_cache(1)
    for layer in cache.layers:
        layer.keys.fill_(float("nan"))
    passes = CapturedPasses(prior, cache, rows=[1] * 16, capture=False)
    assert all(bool(layer.keys.isfinite().all()) for layer in passes.cache.layers)


def test_other_attentions_are_not_captured() -> None:
    assert capturable(lively_prior())
    assert not capturable(Prior(20, 4, 4, dim=32, depth=1, heads=2, attention=BidirectionalAttention()))
