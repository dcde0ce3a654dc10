"""Which pairs may meet, as a pure predicate over two cells of the grid or two steps of the order."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.arrangement import tiled


@dataclass(frozen=True)
class Part:
    """A part of a pattern that is dense in blocks when places are arranged its way.

    Attributes:
        allowed: the part's predicate over indices of places, which broadcast.
        arrangement: (n,) the places, in the order in which they are cut into blocks of queries.
        block: places to a block.
    """

    allowed: Callable[[Tensor, Tensor], Tensor]
    arrangement: Int[Tensor, " n"]
    block: int = 64


class Predicate(ABC):
    """What a pattern says of pairs of places, and how it is best taken apart.

    Attributes:
        space: what a place is: ``cells`` for raster indices, ``steps`` for steps of the order.
        kernel: how whole passes are computed; None for what `choose_kernel` says.
        constants: what follows from the predicate and a grid alone, kept for the next pass.
    """

    space: ClassVar[str] = "cells"
    kernel: str | None
    constants: dict[Any, Any]

    @abstractmethod
    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Say which pairs may meet, were every key visited before the query.

        Args:
            query: raster index of the query's target cell, or the step at which it is visited.
            key: raster index of the key's content cell, or the step at which it was visited; broadcasts with the query.
            height: rows of the grid, h.
            width: columns of the grid, w.

        Returns:
            True where the key may be seen.
        """

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Take the pattern apart for block-sparse kernels; a pair that several parts allow counts once.

        Args:
            height: rows of the grid, h.
            width: columns of the grid, w.

        Returns:
            Parts that together allow what `allowed` does: one, in tiles of cells or runs of steps, unless a pattern
            says otherwise.
        """

        def allowed(query: Tensor, key: Tensor) -> Tensor:
            return self.allowed(query, key, height=height, width=width)

        arranged = torch.arange(height * width) if self.space == "steps" else tiled(height, width, side=8)
        return (Part(allowed, arranged),)

    def table(self, *, height: int, width: int) -> Bool[Tensor, "n n"]:
        """Evaluate the predicate on all pairs: to look at, and for tests.

        Args:
            height: rows of the grid, h.
            width: columns of the grid, w.

        Returns:
            (n, n) True at [query, key] where the pair is allowed.
        """
        places = torch.arange(height * width)
        return self.allowed(places[:, None], places[None], height=height, width=width).expand(len(places), len(places))
