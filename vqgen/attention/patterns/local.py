"""Local attention: a block of queries sees what lies around it."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.arrangement import tiled
from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class Local1D(Pattern):
    """A run of steps sees itself and so many steps before it.

    The order is cut into runs of ``block`` steps. A query at step t sees the contents of steps ``s < t`` with
    ``s >= block * floor(t / block) - memory``.

    Args:
        block: steps to a run, >= 1.
        memory: steps before the run that it sees as well, >= 0.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> Local1D(block=2, memory=1).table(height=1, width=4).tril(-1).int()
        tensor([[0, 0, 0, 0],
                [1, 0, 0, 0],
                [0, 1, 0, 0],
                [0, 1, 1, 0]], dtype=torch.int32)

    Source: Parmar et al., Image Transformer (1802.05751), section 3.3, "1D local attention".
    """

    space = "steps"

    def __init__(self, *, block: int = 64, memory: int = 64, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        if block < 1 or memory < 0:
            raise ValueError(f"block must be >= 1 and memory >= 0, got block={block} and memory={memory}")
        self.block = block
        self.memory = memory

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys from the query's run on, and those that its memory holds."""
        return key >= query // self.block * self.block - self.memory

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Runs of steps are the blocks."""
        (part,) = super().parts(height=height, width=width)
        return (Part(part.allowed, part.arrangement, block=min(max(self.block, 16), 128)),)


class Local2D(Pattern):
    """A tile of cells sees itself and a margin of cells around it.

    With the grid cut into tiles of ``block x block`` cells, a query in row r and column c sees the cells whose row is
    in ``R - margin .. R + block - 1 + margin``, where ``R = block * floor(r / block)``, and whose column likewise.

    Args:
        block: rows and columns of a tile, >= 1.
        margin: cells on each side of the tile that it sees as well, >= 0.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> Local2D(block=2, margin=0).table(height=2, width=4)[0].view(2, 4).int()
        tensor([[1, 1, 0, 0],
                [1, 1, 0, 0]], dtype=torch.int32)

    Source: Parmar et al., Image Transformer (1802.05751), section 3.3, "2D local attention"; there the margin is above
    and to both sides, and here on all sides, as orders other than raster come from all of them.
    """

    def __init__(self, *, block: int = 8, margin: int = 4, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        if block < 1 or margin < 0:
            raise ValueError(f"block must be >= 1 and margin >= 0, got block={block} and margin={margin}")
        self.block = block
        self.margin = margin

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys in the query's tile and its margin."""
        return self._near(query // width, key // width) & self._near(query % width, key % width)

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """Tiles are the blocks, or, where they are small, what fits into larger ones."""
        (part,) = super().parts(height=height, width=width)
        side = self.block * max(1, 8 // self.block)
        return (Part(part.allowed, tiled(height, width, side=side), block=min(side * side, 256)),)

    def _near(self, query: Tensor, key: Tensor) -> Tensor:
        start = query // self.block * self.block
        return torch.logical_and(key >= start - self.margin, key < start + self.block + self.margin)
