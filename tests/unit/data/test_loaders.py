import sys
from pathlib import Path

import pytest
import torch

from vqgen.data import ArrayImages, ResumableLoader, SequentialLoader
from vqgen.data.draws import DrawBatches
from vqgen.data.loaders import reading_processes


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


def test_sequential_loader_begins_in_the_middle_with_the_same_batches() -> None:
    def batches(**options: int) -> list[list[int]]:
        loader = SequentialLoader(torch.tensor, items=23, batch_size=4, **options)
        return [batch.tolist() for batch in loader]

    whole = batches()
    for number in range(len(whole) + 1):
        assert batches(first=sum(map(len, whole[:number]))) == whole[number:]
    assert batches(first=2)[0] == [2]
    assert batches(first=23) == []


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_read_is_told_in_its_own_words(num_workers: int) -> None:
    def read(numbers: list[int]) -> torch.Tensor:
        if 5 in numbers:
            raise ValueError("cannot read number 5")
        return torch.tensor(numbers)

    batches = iter(SequentialLoader(read, items=8, batch_size=2, num_workers=num_workers))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match=r"^cannot read number 5$"):
        next(batches)


def test_files_are_read_by_as_many_processes_as_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Files(ArrayImages):
        slow_to_read = True

    pixels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    monkeypatch.setattr("vqgen.data.loaders.os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr("vqgen.data.loaders.allowed_processors", lambda: 4.5)
    assert reading_processes(Files(pixels), batches=100) == 4
    assert reading_processes(Files(pixels), batches=3) == 3
    assert reading_processes(Files(pixels), batches=1) == 0
    assert reading_processes(ArrayImages(pixels), batches=100) == 0
    monkeypatch.setattr("vqgen.data.loaders.allowed_processors", lambda: 0.5)
    assert reading_processes(Files(pixels), batches=100) == 1


def blank_batch(numbers):
    """16 MB as torch gives them, and how much memory the process that made it holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return torch.cat([torch.full((2**24 - 8,), 7, dtype=torch.uint8), torch.tensor([pages]).view(torch.uint8)])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a process' memory in /proc")
def test_the_memory_of_a_reading_process_does_not_grow():
    loader = SequentialLoader(blank_batch, items=120, batch_size=1, num_workers=1)
    held = [int(batch[-8:].view(torch.int64)) * 4096 for batch in loader]
    assert max(held[20:]) - held[10] < 5 * 2**24  # what is handed over at the moment; without care 1 GB more
