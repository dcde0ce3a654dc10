import pytest
import torch

from vqgen.data import ResumableLoader, SequentialLoader
from vqgen.data.draws import DrawBatches


def make_loader(**arguments: int) -> ResumableLoader[torch.Tensor]:
    return ResumableLoader(torch.tensor, **{"items": 11, "batch_size": 2, "seed": 4, **arguments})


def epoch_of(loader: ResumableLoader[torch.Tensor]) -> list[list[int]]:
    return [batch.tolist() for batch in loader]


def test_epochs_follow_each_other_as_draw_batches_says() -> None:
    loader, batches = make_loader(), DrawBatches(11, batch_size=2, seed=4)
    for epoch in range(3):
        batches.epoch = epoch
        assert epoch_of(loader) == list(batches)
    assert len(loader) == len(batches) == 5


def test_an_iterator_that_is_never_used_does_not_count() -> None:
    loader, used = make_loader(), make_loader()
    first = epoch_of(used)
    iter(loader)
    assert epoch_of(loader) == first
    iter(loader)
    assert epoch_of(loader) == epoch_of(used)


def test_an_epoch_cut_short_is_over() -> None:
    loader, whole = make_loader(), make_loader()
    next(iter(loader))
    epoch_of(whole)
    assert epoch_of(loader) == epoch_of(whole)


@pytest.mark.parametrize("delivered", range(6))
def test_a_state_goes_on_where_it_was_saved(delivered: int) -> None:
    reference = make_loader()
    stream = [batch for _ in range(4) for batch in epoch_of(reference)]
    stopped = make_loader()
    epoch_of(stopped)
    batches = iter(stopped)
    for _ in range(delivered):
        next(batches)
    resumed = make_loader()
    resumed.load_state_dict(stopped.state_dict())
    going_on = [batch for _ in range(2) for batch in epoch_of(resumed)]
    assert going_on == stream[5 + delivered :][: len(going_on)]
    assert len(going_on) == (10 if delivered in (0, 5) else 10 - delivered)


def test_loading_does_not_touch_torchs_generator() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    epoch_of(make_loader())
    list(SequentialLoader(torch.tensor, items=5, batch_size=2))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("num_replicas", [1, 2, 3])
@pytest.mark.parametrize("items", [1, 5, 12, 13, 31])
def test_sequential_loader_gives_every_item_once(items: int, num_replicas: int) -> None:
    if items < num_replicas:
        return
    loaders = [
        SequentialLoader(torch.tensor, items=items, batch_size=4, num_replicas=num_replicas, rank=rank)
        for rank in range(num_replicas)
    ]
    batches = [[batch.tolist() for batch in loader] for loader in loaders]
    assert len({len(share) for share in batches}) == 1
    assert all(0 < len(batch) <= 4 for share in batches for batch in share)
    assert sorted(index for share in batches for batch in share for index in batch) == list(range(items))
    assert [len(loader) for loader in loaders] == [len(share) for share in batches]


def test_sequential_loader_of_nothing_is_empty() -> None:
    assert list(SequentialLoader(torch.tensor, items=0, batch_size=4)) == []
