"""The loaders of training and validation: whole batches at a time, shared between processes, and resumable."""

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from vqgen.data.draws import DrawBatches
from vqgen.data.source import ImageDataset
from vqgen.runtime import allowed_processors, give_batches_back

Batch = TypeVar("Batch")


class ResumableLoader(Generic[Batch]):
    """Serves draws in shuffled epochs without end, and can stop after any batch and go on in another process.

    Each `iter` is the next epoch, except that the first one after `load_state_dict` is the rest of the epoch the state
    was saved in. It counts the batches handed out, so what workers have prepared ahead does not matter, and neither do
    iterators that are made and never used; a trainer need not tell it the epoch. The state is the same on every
    process and does not depend on the number of workers.

    Args:
        read: makes a batch of draw numbers (see `vqgen.data.draws`), such as `Augmented(...).batch`.
        items: length of the data set.
        batch_size: items per batch and process.
        seed: decides the order of every epoch.
        num_replicas: processes that share the items.
        rank: which of them this is, from 0.
        num_workers: worker processes that read ahead; 0 reads in the training process.
        pin_memory: hand out batches in page-locked memory, which copies to a GPU faster.

    Raises:
        ValueError: if the items do not fill one batch for every process.

    Example:
        >>> loader = ResumableLoader(torch.tensor, items=6, batch_size=2, seed=0)
        >>> batches = iter(loader)
        >>> _ = next(batches)
        >>> state = loader.state_dict()
        >>> rest = list(batches)
        >>> loader.load_state_dict(state)
        >>> all(map(torch.equal, loader, rest))
        True
    """

    def __init__(
        self,
        read: Callable[[list[int]], Batch],
        *,
        items: int,
        batch_size: int,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self._draws = DrawBatches(items, batch_size=batch_size, num_replicas=num_replicas, rank=rank, seed=seed)
        self._loader = _batch_loader(read, self._draws, num_workers, pin_memory)
        self._epoch = 0
        self._delivered = 0
        self._continuing = True  # whether the next iteration goes on with the epoch or begins another

    def __len__(self) -> int:
        return len(self._draws)

    def __iter__(self) -> Iterator[Batch]:
        # Runs at the first `next`: an iterator that is never used does not count as an epoch.
        if not self._continuing or self._delivered >= len(self):
            self._epoch += 1
            self._delivered = 0
        self._continuing = False
        self._draws.epoch, self._draws.first = self._epoch, self._delivered
        for batch in _readable(self._loader):
            self._delivered += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How far the loader got: the epoch, and the batches of it that were handed out."""
        return {"epoch": self._epoch, "delivered": self._delivered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; the next iteration is the rest of its epoch, or the next epoch if it was over."""
        self._epoch = state_dict["epoch"]
        self._delivered = state_dict["delivered"]
        self._continuing = True


class SequentialLoader(Generic[Batch]):
    """Serves every item once, in order, in batches of nearly equal size; for validation.

    Every process gets equally many batches, so that none waits for another, and no item twice.

    Args:
        read: makes a batch of indices, such as `ImageDataset.batch`.
        items: length of the data set.
        batch_size: most items per batch.
        num_replicas: processes that share the items.
        rank: which of them this is, from 0.
        num_workers: worker processes that read ahead; 0 reads in the calling process.
        pin_memory: hand out batches in page-locked memory, which copies to a GPU faster.
        first: item to begin with; the batches after it are those of a loader that begins with the first.

    Example:
        >>> [batch.tolist() for batch in SequentialLoader(torch.tensor, items=7, batch_size=3)]
        [[0, 1], [2, 3], [4, 5, 6]]
    """

    def __init__(
        self,
        read: Callable[[list[int]], Batch],
        *,
        items: int,
        batch_size: int,
        num_replicas: int = 1,
        rank: int = 0,
        num_workers: int = 0,
        pin_memory: bool = False,
        first: int = 0,
    ) -> None:
        self._shares = _EqualShares(items, batch_size, num_replicas, rank, first)
        self._loader = _batch_loader(read, self._shares, num_workers, pin_memory)

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[Batch]:
        yield from _readable(self._loader)


def reading_processes(dataset: ImageDataset, *, batches: int) -> int:
    """How many processes shall read a data set ahead: one a processor for images that are decoded, none for others.

    The encoder's threads share the processors with them: whichever is the slower of reading and encoding gets what the
    other leaves, since those that are ahead wait.

    Args:
        dataset: what is read.
        batches: how many there are; one needs no process, and there are never more processes than batches.

    Returns:
        The number, at least 0.

    Example:
        >>> from vqgen.data import SyntheticImages
        >>> reading_processes(SyntheticImages(4, 8).split("train"), batches=100)
        0
    """
    if not dataset.slow_to_read or batches < 2:
        return 0
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(processors, int(min(allowed_processors(), processors)), batches))


class _EqualShares(Sampler[list[int]]):
    """The items in order, cut into as few batches as will do, equally many for every process."""

    def __init__(self, items: int, batch_size: int, num_replicas: int, rank: int, beginning: int) -> None:
        rounds = -(-items // (batch_size * num_replicas))
        cuts = rounds * num_replicas
        ends = [items * cut // cuts for cut in range(cuts + 1)] if cuts else [0]
        bounds = list(itertools.pairwise(ends))[rank::num_replicas]
        self.bounds = [(max(first, beginning), end) for first, end in bounds if end > max(first, beginning)]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[list[int]]:
        return (list(range(first, end)) for first, end in self.bounds)


class _ByBatch(Dataset[Any]):
    """What a `DataLoader` that does not batch asks for an "item": here that is a list of numbers."""

    def __init__(self, read: Callable[[list[int]], Any]) -> None:
        self.read = read

    def __getitem__(self, numbers: list[int]) -> Any:
        try:
            return self.read(numbers)
        except ValueError as error:
            if get_worker_info() is None:
                raise
            return _Unreadable(str(error))  # torch would hand it on with the worker's traceback as its message


class _Unreadable:
    """Stands in a worker's answer for a batch that cannot be read."""

    def __init__(self, message: str) -> None:
        self.message = message


def _readable(batches: "DataLoader[Batch]") -> Iterator[Batch]:
    for batch in batches:
        if isinstance(batch, _Unreadable):
            raise ValueError(batch.message)
        yield batch


def _batch_loader(
    read: Callable[[list[int]], Batch], batches: Sampler[list[int]], num_workers: int, pin_memory: bool
) -> DataLoader[Batch]:
    return DataLoader(
        _ByBatch(read),
        batch_size=None,  # each "item" already is a batch, made in one go
        sampler=batches,
        collate_fn=_unchanged,
        num_workers=num_workers,
        worker_init_fn=_begin_worker,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        # Otherwise every epoch takes a number from torch's global generator, and a resumed run one too many.
        generator=torch.Generator().manual_seed(0),
    )


def _begin_worker(number: int) -> None:
    give_batches_back()


def _unchanged(batch: Batch) -> Batch:
    return batch
