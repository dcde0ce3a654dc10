"""Big Bird: a window, a few places at random, and a few that see and are seen by everyone."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.arrangement import tiled
from vqgen.attention.pattern import Pattern
from vqgen.attention.predicate import Part


class BigBird(Pattern):
    """A tile of cells sees the tiles near it, tiles drawn at random, and global tiles; global tiles see everything.

    With the grid cut into tiles of ``block x block`` cells, the query in tile Q sees the key in tile K when Q and K are
    at most ``window`` rows and columns of tiles apart, or K is one of ``random`` tiles drawn for Q, or Q or K is one of
    ``global_tiles`` tiles spread evenly over the grid.

    Args:
        block: rows and columns of a tile, >= 1.
        window: tiles to each side, >= 0.
        random: tiles drawn for each tile, >= 0.
        global_tiles: tiles that see and are seen by all, >= 0.
        seed: of the tiles drawn at random.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> BigBird(block=1, window=1, random=1, global_tiles=1).table(height=1, width=7)[0].int()
        tensor([1, 1, 1, 1, 0, 0, 0], dtype=torch.int32)

    Source: Zaheer et al., Big Bird: Transformers for Longer Sequences (2007.14062), section 2 (its internal
    construction of global tokens), with tiles in place of the blocks of its appendix D.
    """

    def __init__(
        self,
        *,
        block: int = 4,
        window: int = 1,
        random: int = 2,
        global_tiles: int = 1,
        seed: int = 0,
        kernel: str | None = None,
    ) -> None:
        super().__init__(kernel=kernel)
        if block < 1 or min(window, random, global_tiles) < 0:
            raise ValueError(
                "block must be >= 1 and window, random and global_tiles >= 0, got "
                f"block={block}, window={window}, random={random} and global_tiles={global_tiles}"
            )
        self.block = block
        self.window = window
        self.random = random
        self.global_tiles = global_tiles
        self.seed = seed

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys of tiles that are near, drawn or global."""
        own, known, knowing = (part.allowed for part in self.parts(height=height, width=width))
        return own(query, key) | known(query, key) | knowing(query, key)

    def parts(self, *, height: int, width: int) -> tuple[Part, ...]:
        """What each tile has of its own, global keys, which all share, and global queries, in blocks by themselves."""
        tiles, by_tile = self._tiles(height, width), self._arrangement(height, width)
        everyone, drawn = self._global(tiles), self._drawn(tiles)
        global_first = by_tile[(~everyone[self._tile(by_tile, width)]).long().argsort(stable=True)]

        def own(query: Tensor, key: Tensor) -> Tensor:
            query, key = self._tile(query, width), self._tile(key, width)
            return self._near(query, key, width) | drawn.to(query.device)[query, key]

        def known(query: Tensor, key: Tensor) -> Tensor:
            return everyone.to(key.device)[self._tile(key, width)] & (query >= -1)

        def knowing(query: Tensor, key: Tensor) -> Tensor:
            return everyone.to(query.device)[self._tile(query, width)] & (key >= -1)

        block = min(self._places_of_a_tile, 128)
        return (Part(own, by_tile, block=block), Part(known, by_tile), Part(knowing, global_first, block=block))

    @property
    def _places_of_a_tile(self) -> int:
        return self.block * self.block

    def _columns(self, width: int) -> int:
        return -(-width // self.block)

    def _tiles(self, height: int, width: int) -> int:
        return -(-height // self.block) * self._columns(width)

    def _tile(self, place: Tensor, width: int) -> Tensor:
        return place // width // self.block * self._columns(width) + place % width // self.block

    def _arrangement(self, height: int, width: int) -> Tensor:
        return tiled(height, width, side=self.block)

    def _near(self, query: Tensor, key: Tensor, width: int) -> Tensor:
        columns = self._columns(width)
        rows_apart, columns_apart = query // columns - key // columns, query % columns - key % columns
        return (rows_apart.abs() <= self.window) & (columns_apart.abs() <= self.window)

    def _global(self, tiles: int) -> Tensor:
        chosen = torch.zeros(tiles, dtype=torch.bool)
        count = min(self.global_tiles, tiles)
        chosen[[(2 * index + 1) * tiles // (2 * count) for index in range(count)]] = True
        return chosen

    def _drawn(self, tiles: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        ranks = torch.rand(tiles, tiles, generator=generator).fill_diagonal_(2.0).argsort(1)
        drawn = torch.zeros(tiles, tiles, dtype=torch.bool)
        return drawn.scatter_(1, ranks[:, : min(self.random, tiles - 1)], True)


class BigBird1D(BigBird):
    """A block of steps sees the blocks just before it, earlier blocks drawn at random, and the first blocks of all.

    The query at step t sees the content of step s < t when their blocks of ``block`` steps are at most ``window``
    apart, or the key's is one of ``random`` blocks drawn for the query's from those before it, or one of the first
    ``global_tiles``.

    Args:
        block: steps to a block, >= 1.
        window: blocks back, >= 0.
        random: earlier blocks drawn for each block, >= 0.
        global_tiles: blocks at the beginning that are seen by all that follow, >= 0.
        seed: of the blocks drawn at random.
        kernel: see `Pattern`.

    Raises:
        ValueError: when a number is out of its range.

    Example:
        >>> BigBird1D(block=1, window=1, random=1).table(height=1, width=7).tril(-1)[6].int()
        tensor([1, 1, 0, 0, 0, 1, 0], dtype=torch.int32)

    Source: Zaheer et al., Big Bird: Transformers for Longer Sequences (2007.14062), section 2 and appendix D.
    """

    space = "steps"

    def __init__(
        self,
        *,
        block: int = 16,
        window: int = 1,
        random: int = 2,
        global_tiles: int = 1,
        seed: int = 0,
        kernel: str | None = None,
    ) -> None:
        super().__init__(block=block, window=window, random=random, global_tiles=global_tiles, seed=seed, kernel=kernel)

    @property
    def _places_of_a_tile(self) -> int:
        return self.block

    def _tiles(self, height: int, width: int) -> int:
        return -(-height * width // self.block)

    def _tile(self, place: Tensor, width: int) -> Tensor:
        return place // self.block

    def _arrangement(self, height: int, width: int) -> Tensor:
        return torch.arange(height * width)

    def _near(self, query: Tensor, key: Tensor, width: int) -> Tensor:
        return (query - key).abs() <= self.window

    def _global(self, tiles: int) -> Tensor:
        return torch.arange(tiles) < self.global_tiles

    def _drawn(self, tiles: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        earlier = torch.ones(tiles, tiles, dtype=torch.bool).tril(-1)
        ranks = torch.rand(tiles, tiles, generator=generator).masked_fill(~earlier, 2.0).argsort(1)
        drawn = torch.zeros(tiles, tiles, dtype=torch.bool)
        return drawn.scatter_(1, ranks[:, : self.random], True) & earlier
