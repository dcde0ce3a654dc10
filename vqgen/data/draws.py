"""Draw numbers: what makes shuffling and augmentation repeatable, wherever training stops and goes on.

The visit to item i in epoch e has the draw number i + e * len(dataset). Everything random about that visit is a pure
function of (seed, draw number), so it depends neither on the batch, the worker, the process, nor on what was drawn
before, and a run that is resumed in the middle of an epoch sees exactly what it would have seen.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(seed: int, numbers: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Hash each number together with a seed: 64 bits that look random, the same on every machine.

    Output number + 1 of the SplitMix64 generator that starts from the hashed seed.

    Args:
        seed: any integer; its lowest 64 bits count.
        numbers: b integers >= 0.

    Returns:
        (b,) unsigned integers.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

    Example:
        >>> mix(0, [1, 2]).tolist() == [mix(0, [1])[0], mix(0, [2])[0]]
        True
    """
    start = _finalise(np.array([seed % 2**64], dtype=np.uint64) + _GOLDEN)
    return _finalise(start + (np.asarray(numbers, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)


def uniforms(seeds: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) drawn from each seed.

    Args:
        seeds: (b,) as `mix` gives them.
        count: how many numbers per seed.

    Returns:
        (b, count).

    Example:
        >>> uniforms(mix(0, range(100)), 3).shape
        (100, 3)
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN  # wraps around, as SplitMix64 does
    bits = _finalise(seeds[:, None] + steps) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _finalise(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


class DrawBatches(Sampler[list[int]]):
    """The batches of draw numbers one process takes in an epoch: shuffled anew every epoch, full batches only.

    Together the processes take what one process with a batch as large as all of theirs would take.

    Args:
        items: length of the data set.
        batch_size: items a process takes at a time.
        num_replicas: processes that share the items.
        rank: which of them this is, from 0.
        seed: decides the order of every epoch.

    Raises:
        ValueError: if the items do not fill one batch for every process.

    Example:
        >>> batches = DrawBatches(5, batch_size=2, seed=1)
        >>> len(batches), [len(batch) for batch in batches]
        (2, [2, 2])
        >>> batches.epoch = 3
        >>> all(15 <= draw < 20 for batch in batches for draw in batch)
        True
    """

    def __init__(self, items: int, *, batch_size: int, num_replicas: int = 1, rank: int = 0, seed: int = 0) -> None:
        needed = batch_size * num_replicas
        if items < needed:
            raise ValueError(
                f"batch_size={batch_size} on {num_replicas} process(es) needs at least {needed} items, got {items}; "
                "choose a smaller batch or bring more images"
            )
        self.items = items
        self.batch_size = batch_size
        self.num_replicas = num_replicas
        self.rank = rank
        self.seed = seed
        self.epoch = 0
        self.first = 0  # the batch to begin the epoch with

    def __len__(self) -> int:
        return self.items // (self.batch_size * self.num_replicas)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(int(mix(self.seed, [self.epoch])[0] >> np.uint64(1)))
        order = torch.randperm(self.items, generator=generator) + self.epoch * self.items
        shares = order[: len(self) * self.num_replicas * self.batch_size].view(-1, self.num_replicas, self.batch_size)
        for share in shares[self.first :, self.rank]:
            yield share.tolist()
