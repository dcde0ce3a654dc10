"""Which rows of a cache each step of an order reads, worked out once for the whole order."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.base import Places
from vqgen.attention.layout import PAIRS
from vqgen.attention.predicate import Predicate


@dataclass(frozen=True)
class Neighbours:
    """The rows that every step sees, one step after the other.

    Attributes:
        rows: (b, total), or (1, total) for an order that all images share.
        there: likewise, False where an image has fewer rows at a step than another; None where none has.
        starts: where each step begins; one more than there are steps.
        first: index of the row of step 0.
    """

    rows: Int[Tensor, "b total"]
    there: Bool[Tensor, "b total"] | None
    starts: list[int]
    first: int

    def at(self, row: int) -> tuple[Int[Tensor, "b u"], Bool[Tensor, "b u"] | None]:
        """Look a row up.

        Args:
            row: its index.

        Returns:
            (b, u) or (1, u) the rows it sees, and which of them are there if not all.
        """
        start, stop = self.starts[row - self.first], self.starts[row - self.first + 1]
        return self.rows[:, start:stop], None if self.there is None else self.there[:, start:stop]


def neighbours_of(pattern: Predicate, places: Places) -> Neighbours:
    """Find the rows that every step of an order sees.

    Args:
        pattern: which pairs may meet.
        places: of the whole order, from its first row.

    Returns:
        For each step the start, whatever comes before it, and the allowed rows, in visiting order.

    Example:
        >>> from vqgen.attention import RowAttention
        >>> order = torch.tensor([[0, 2, 1, 3]])
        >>> content = torch.tensor([[-1, 0, 2, 1]])
        >>> found = neighbours_of(RowAttention(), Places(order, content, 0, height=2, width=2))
        >>> [found.at(row)[0].tolist() for row in range(4)]
        [[[0]], [[0]], [[0, 1]], [[0, 2]]]
    """
    first, size = places.prefix, places.height * places.width
    target = places.target[:, first:]
    steps, device = target.shape[1], target.device
    query, key = _allowed_pairs(pattern, places.height, places.width, device)
    if pattern.space == "cells":  # the step at which each cell is visited; never, when the order is cut short
        visited = torch.full((len(target), size), size, device=device)
        visited.scatter_(1, target, torch.arange(steps, device=device).expand_as(target))
        query, key = visited[:, query], visited[:, key]
    else:
        query, key = query[None], key[None]
    # Everything that has no cell is seen at every step: rows 0 .. first, as contents of steps below 0.
    images = len(query)
    every = torch.arange(steps, device=device).repeat_interleave(first + 1).expand(images, -1)
    start = torch.arange(-1 - first, 0, device=device).repeat(steps).expand(images, -1)
    query, key = torch.cat((every, query), dim=1), torch.cat((start, key), dim=1)
    seen = (key < query) & (query < steps)
    image = torch.arange(images, device=device)[:, None].expand_as(query)[seen]
    row, step = key[seen] + first + 1, image * steps + query[seen]  # steps counted over all images
    order = (step * (steps + first + 1) + row).argsort()
    image, row, step = image[order], row[order], step[order]
    counts = torch.bincount(step, minlength=images * steps)
    begin = F.pad(counts.view(images, steps).amax(0).cumsum(0), (1, 0))
    rank = torch.arange(len(step), device=device) - (counts.cumsum(0) - counts)[step]
    place = begin[step % steps] + rank
    starts: list[int] = begin.tolist()
    rows = row.new_zeros(images, starts[-1])
    rows[image, place] = row
    if images == 1:
        return Neighbours(rows, None, starts, first)
    there = torch.zeros_like(rows, dtype=torch.bool)
    there[image, place] = True
    return Neighbours(rows, there, starts, first)


def _allowed_pairs(
    pattern: Predicate, height: int, width: int, device: torch.device
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    name, size = ("pairs", height, width, str(device)), height * width
    if name not in pattern.constants:
        with torch.inference_mode(False), torch.no_grad():
            places, found = torch.arange(size), []
            for some in torch.split(places, max(1, PAIRS // size)):
                allowed = pattern.allowed(some[:, None], places[None], height=height, width=width)
                if pattern.space == "steps":  # what comes later is never seen, whatever the order
                    allowed = allowed & (places[None] < some[:, None])
                found.append(allowed.expand(len(some), size).nonzero() + some.new_tensor([int(some[0]), 0]))
            pairs = torch.cat(found).to(device)
            pattern.constants[name] = (pairs[:, 0].contiguous(), pairs[:, 1].contiguous())
    query, key = pattern.constants[name]
    return query, key
