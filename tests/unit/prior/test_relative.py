import pytest
import torch
from torch import Tensor

from vqgen.attention import Attention, DenseAttention, LSHAttention, Places, Reach
from vqgen.prior import SIGNALS, Prior, RelativeAttention, RelativeSignal, ShawSignal, SinusoidSignal
from vqgen.prior.signals.relative_shaw import FARTHEST

RELATIVE = {name: signal for name, signal in SIGNALS.items() if issubclass(signal, RelativeSignal)}
every_signal = pytest.mark.parametrize("signal", RELATIVE.values(), ids=RELATIVE.keys())


def lively(signal: type[RelativeSignal], height: int = 3, width: int = 4) -> RelativeAttention:
    torch.manual_seed(0)
    made = RelativeAttention(DenseAttention(), signal)
    layer = made.layer(dim=16, heads=2, height=height, width=width).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


def places(positions: Tensor, height: int, width: int) -> Places:
    content = torch.cat((torch.full_like(positions[:, :1], -1), positions[:, :-1]), dim=1)
    return Places(positions, content, 0, height, width)


def attend_by_a_loop(scores: Tensor, values: Tensor) -> Tensor:
    count = scores.shape[-1]
    hidden = ~torch.ones(count, count, dtype=torch.bool).tril()
    return scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ values


def displacement(target: int, content: int, size: int) -> int:
    """Along one axis; the start sits as far outside the grid as the grid is long."""
    return target + size if content < 0 else target - content


def axis(cell: int, width: int, which: str) -> int:
    return -1 if cell < 0 else cell // width if which == "down" else cell % width


def added_by_a_loop(query: Tensor, told: Places, vector) -> Tensor:
    """(b, heads, m, t): each query's product with the vectors of the displacement in rows and in columns."""
    added = torch.zeros(*query.shape[:3], query.shape[2]).double()
    for image in range(len(query)):
        for row in range(query.shape[2]):
            for key in range(row + 1):
                target, content = int(told.target[image, row]), int(told.content[image, key])
                for which, size in (("down", told.height), ("across", told.width)):
                    apart = displacement(axis(target, told.width, which), axis(content, told.width, which), size)
                    for head in range(query.shape[1]):
                        added[image, head, row, key] += query[image, head, row] @ vector(which, apart, head)
    return added


def test_shaw_adds_a_learned_vector_to_each_key() -> None:
    attention = lively(ShawSignal)
    built, told = attention.built, places(torch.stack([torch.randperm(12), torch.arange(12)]), 3, 4)
    query, keys, values = torch.randn(3, 2, 2, 12, 8).double()

    def vector(which: str, apart: int, head: int) -> Tensor:
        size = 3 if which == "down" else 4
        table = getattr(built, which).weight
        return table[apart + size - 1]  # nothing is clipped on so small a grid: -(size - 1) .. 2 size - 1

    scores = (query @ keys.transpose(-1, -2) + added_by_a_loop(query, told, vector)) / 8**0.5
    found = attention(query, keys, values, attention.reach(told))
    torch.testing.assert_close(found, attend_by_a_loop(scores, values))


def test_relative_projects_sinusoids_of_the_displacement_and_has_two_biases() -> None:
    attention = lively(SinusoidSignal)
    built, told = attention.built, places(torch.stack([torch.randperm(12), torch.arange(12)]), 3, 4)
    query, keys, values = torch.randn(3, 2, 2, 12, 8).double()
    frequencies = 10000.0 ** (-torch.arange(4).double() / 4)

    def vector(which: str, apart: int, head: int) -> Tensor:
        angles = apart * frequencies
        return (getattr(built, which).weight @ torch.cat((angles.sin(), angles.cos())))[8 * head : 8 * head + 8]

    scores = (query + built.content_bias) @ keys.transpose(-1, -2)
    scores = (scores + added_by_a_loop(query + built.displacement_bias, told, vector)) / 8**0.5
    found = attention(query, keys, values, attention.reach(told))
    torch.testing.assert_close(found, attend_by_a_loop(scores, values), atol=1e-5, rtol=1e-5)  # sinusoids are float32


@every_signal
def test_what_is_seen_depends_on_displacements_and_not_on_where_they_are(signal) -> None:
    attention = lively(signal, height=8, width=8)
    rows, columns = torch.tensor([[0, 3, 1, 2, 0, 4]]), torch.tensor([[2, 0, 4, 1, 1, 3]])
    query, keys, values = torch.randn(3, 1, 2, 6, 8).double()
    query = query.abs()
    keys[:, :, 0] = -50.0  # hardly seen: against the start a query is told where it is
    here, moved = (
        attention(query, keys, values, attention.reach(places((rows + down) * 8 + columns + right, 8, 8)))
        for down, right in ((0, 0), (3, 2))
    )
    torch.testing.assert_close(here[:, :, 1:], moved[:, :, 1:], atol=1e-6, rtol=1e-6)
    apart = attention(query, keys, values, attention.reach(places(rows * 8 + columns.flip(1), 8, 8)))
    assert not torch.allclose(here[:, :, 1:], apart[:, :, 1:], atol=1e-2)


def test_shaw_tells_displacements_beyond_its_reach_no_more_apart_and_the_start_always() -> None:
    built = ShawSignal(dim=16, heads=2, height=40, width=1)
    assert built.down.weight.shape == (2 * FARTHEST + 1 + 40, 8)
    index = built.index_down
    assert len(index) == 3 * 40 - 1
    assert index[:24].unique().tolist() == [0]
    assert index[39].item() == FARTHEST  # no displacement
    assert index[79:].tolist() == list(range(2 * FARTHEST + 1, 2 * FARTHEST + 41))


class Neighbours(Attention):
    """Each row sees itself and the two before it, without any kernel."""

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, reach: Reach | None = None) -> Tensor:
        count = query.shape[2]
        seen = torch.ones(count, count).tril().triu(-2).bool()
        scores = (query @ keys.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf)
        return scores.softmax(dim=-1) @ values


@every_signal
def test_any_attention_that_multiplies_queries_with_keys_can_be_told(signal) -> None:
    told, (query, keys, values) = places(torch.randperm(12)[None], 3, 4), torch.randn(3, 1, 2, 12, 8).double()
    dense = lively(signal)
    few = RelativeAttention(Neighbours(), signal, dense.built)
    found = few(query, keys, values, few.reach(told))
    assert not torch.allclose(found, dense(query, keys, values, dense.reach(told)))
    start = dense(query[:, :, :3], keys[:, :, :3], values[:, :, :3], dense.reach(told.cut(0, 3)))
    torch.testing.assert_close(found[:, :, :3], start)


@every_signal
def test_rows_that_predict_nothing_meet_the_start_alone(signal) -> None:
    attention = lively(signal)
    target, content = torch.tensor([[-1, -1, 5, 7]]), torch.tensor([[-1, -1, -1, 5]])
    reach = attention.reach(Places(target, content, 0, 3, 4))
    assert reach.seat[0].argmax(dim=-1).tolist() == [7, 7, 7, 1]
    query, keys, values = torch.randn(3, 1, 2, 4, 8).double()
    assert bool(attention(query, keys, values, reach).isfinite().all())


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (("shaw", "relative"), "at most one signal can add to the scores of attention, got 'relative'"),
        (("rotary", "shaw"), "by turning queries and keys or by adding to their scores, got both in rotary, shaw"),
        (("instruction", "relative"), "must lay out steps alike"),
    ],
)
def test_signals_that_do_not_go_together_are_refused(signals: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prior(20, 3, 4, dim=16, depth=1, heads=2, signals=signals)


def test_attention_with_one_vector_for_query_and_key_is_refused() -> None:
    with pytest.raises(ValueError, match="LSHAttention takes a row's query and key to be one vector, and relative"):
        Prior(20, 3, 4, dim=16, depth=1, heads=2, signals=("shaw",), attention=LSHAttention(4))


def test_relative_refuses_a_width_without_two_halves_of_pairs() -> None:
    with pytest.raises(ValueError, match="relative signal needs a width divisible by 4, got dim=6"):
        SinusoidSignal(dim=6, heads=2, height=3, width=4)


@every_signal
def test_every_layer_learns_its_own(signal) -> None:
    name = next(name for name in RELATIVE if RELATIVE[name] is signal)
    prior = Prior(20, 3, 4, dim=16, depth=3, heads=2, signals=(name,))
    weights = [block.attention.attend.built.down.weight for block in prior.blocks]
    assert len({id(weight) for weight in weights}) == 3
    assert list(prior.attentions[0].parameters()) == []
