"""The passes of drawing as CUDA graphs: one launch in place of some three hundred.

At a few rows a GPU computes a pass faster than Python can ask for its parts. A graph records them once and replays them
as a whole, for which every size and every place in memory has to stay: the rows of a pass are filled up to a fixed
number, keys and values go where a number on the device says, and attention looks at the whole cache through a mask.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqgen.attention import DenseAttention, DenseReach, KVCache, Memory
from vqgen.prior import Located, Prior, Rotation
from vqgen.sampling.fused import PlacedLayerCache, fused

ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of rows that graphs are made for; a pass is filled up to the next. Longer passes are run as they are."""

WORTH_A_GRAPH = 4
"""Passes of so many rows, at least, that have to come before a graph is made, which takes as long as a few of them."""


def capturable(prior: Prior) -> bool:
    """Whether a prior's passes can be replayed: every layer attends densely, and nothing is computed but the layers.

    Args:
        prior: any.

    Returns:
        False for other attentions, whose passes read other rows at every step.

    Example:
        >>> capturable(Prior(16, height=2, width=3, dim=8, depth=1, heads=1))
        True
    """
    dense = all(type(attention) is DenseAttention for attention in prior.attentions)
    return dense and type(prior) is Prior and not prior.compiled and not prior.reversible


class CapturedPasses:
    """Runs the layers of a prior on one cache, passes that come up often from a graph.

    Args:
        prior: a `capturable` one, as `packed_for_inference` made it.
        cache: of the batch that is being drawn; it is given more room, for the rows that fill passes up.
        rows: of each pass that will come, where a step takes one.
        capture: record graphs; False runs the same computation on the same buffers, on any device.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1).eval()
        >>> cache, positions, code = prior.new_cache(1), torch.arange(6), torch.tensor([[3]])
        >>> passes = CapturedPasses(prior, cache, rows=[1] * 6, capture=False)
        >>> vars(prior).update(_layers=passes.run)  # for this example; samplers do so to a copy
        >>> with torch.inference_mode():
        ...     for _ in range(4):
        ...         logits = prior.advance(code if cache.length else code[:, :0], positions, cache)
        >>> cache.length, passes.replayed
        (4, 4)
    """

    def __init__(self, prior: Prior, cache: KVCache, *, rows: Sequence[int], capture: bool) -> None:
        # The prior holds these passes: memory of a GPU should not wait until a collector finds the circle.
        self.prior = cast(Prior, weakref.proxy(prior))
        self.cache, self.capture = cache, capture
        expected = Counter(_filled_up(count * prior.rows.per_step) for count in rows)
        self.worth = {count for count, passes in expected.items() if count and passes >= WORTH_A_GRAPH}
        self.blocks = [fused(block) for block in prior.blocks] if self.worth else []
        self.graphs: dict[int, Replayed] = {}
        self.replayed = 0
        if not self.worth:
            return
        for layer in cache.layers:  # zeros: what a mask hides is multiplied by zero, and memory may hold anything
            room = (*layer.keys.shape[:2], layer.keys.shape[2] + max(self.worth), layer.keys.shape[3])
            layer.keys, layer.values = layer.keys.new_zeros(room), layer.values.new_zeros(room)

    def run(
        self,
        hidden: Float[Tensor, "b m d"],
        located: Located,
        cache: KVCache | None,
        memories: Sequence[Memory | None],
    ) -> Float[Tensor, "b m d"]:
        """Carry rows through the layers, as the prior itself does.

        Args:
            hidden: (b, m, d) inputs of the first layer.
            located: what rotation and reach say of the rows.
            cache: the one that these passes are for.
            memories: what each layer looks at besides, which the cache holds too.

        Returns:
            (b, m, d) final hidden states; of a replayed pass they hold until the next.
        """
        rows = _filled_up(hidden.shape[1])
        if cache is not self.cache or rows not in self.worth:
            return Prior._layers(self.prior, hidden, located, cache, memories)
        assert rows is not None
        if rows not in self.graphs:
            self.graphs[rows] = Replayed(self._record(rows, hidden, located.rotation), capture=self.capture)
        self.replayed += 1
        return self.graphs[rows](hidden, located, self.cache)

    def _record(self, rows: int, hidden: Tensor, rotation: Rotation | None) -> Recorded:
        batch, _, width = hidden.shape
        steps = self.cache.layers[0].keys.shape[2]

        def widened(tensor: Tensor) -> Tensor:
            return tensor.new_zeros(tensor.shape[0], rows, *tensor.shape[2:])

        return Recorded(
            self.blocks,
            self.prior.final_norm,
            self.cache,
            hidden=hidden.new_zeros(batch, rows, width),
            rotation=None if rotation is None else Rotation(widened(rotation.cosine), widened(rotation.signed_sine)),
            visible=torch.zeros(rows, steps, dtype=torch.bool, device=hidden.device),
            places=torch.zeros(rows, dtype=torch.int64, device=hidden.device),
        )


def _filled_up(count: int) -> int | None:
    """The next number of rows that graphs are made for, if there is one."""
    return next((rows for rows in ROWS if rows >= count), None)


@dataclass(frozen=True)
class Recorded:
    """The computation of so many rows, and the places in memory it reads.

    Attributes:
        blocks: the layers.
        final_norm: what follows them.
        cache: whose keys and values they read and write.
        hidden: (b, rows, d) inputs of the layers.
        rotation: of the rows; None without a rotary signal.
        visible: (rows, steps) which rows of the cache each row sees.
        places: (rows,) where in the cache each row goes.
    """

    blocks: Sequence[nn.Module]
    final_norm: nn.Module
    cache: KVCache
    hidden: Float[Tensor, "b rows d"]
    rotation: Rotation | None
    visible: Bool[Tensor, "rows steps"]
    places: Int[Tensor, " rows"]

    def compute(self) -> Float[Tensor, "b rows d"]:
        """Run the layers on what is in place."""
        hidden, reach = self.hidden, DenseReach(self.visible)
        for block, layer in zip(self.blocks, self.cache.layers, strict=True):
            hidden = block(hidden, self.rotation, PlacedLayerCache(layer, self.places), reach, layer.memory)
        normalised: Tensor = self.final_norm(hidden)
        return normalised

    def fill(self, hidden: Float[Tensor, "b m d"], located: Located) -> None:
        """Put the rows of a pass in place; those that fill it up see themselves alone and are not looked at."""
        count, held = hidden.shape[1], self.cache.held
        self.hidden[:, :count].copy_(hidden)
        if self.rotation is not None and located.rotation is not None:
            self.rotation.cosine[:, :count].copy_(located.rotation.cosine)
            self.rotation.signed_sine[:, :count].copy_(located.rotation.signed_sine)
        rows, steps = self.visible.shape
        device = self.visible.device
        torch.arange(held, held + rows, out=self.places)
        reach = located.reaches[0]
        assert isinstance(reach, DenseReach)
        if reach.visible is None:
            torch.le(torch.arange(steps, device=device), self.places[:, None], out=self.visible)
        else:
            torch.eq(torch.arange(steps, device=device), self.places[:, None], out=self.visible)
            self.visible[:count, : reach.visible.shape[1]].copy_(reach.visible)


class Replayed:
    """A recorded computation: run as it is the first time, and from then on, where there is a GPU, as a graph.

    Args:
        recorded: the computation.
        capture: make a graph of it.
    """

    def __init__(self, recorded: Recorded, *, capture: bool) -> None:
        self.recorded, self.capture = recorded, capture
        self.graph: torch.cuda.CUDAGraph | None = None
        self.output: Tensor | None = None

    def __call__(self, hidden: Float[Tensor, "b m d"], located: Located, cache: KVCache) -> Float[Tensor, "b m d"]:
        """Run the pass and let the cache keep its rows."""
        held, count = cache.held, hidden.shape[1]
        self.recorded.fill(hidden, located)
        if self.graph is not None:
            self.graph.replay()
        else:
            self.output = self.recorded.compute()
        output = self.output
        assert output is not None
        if self.capture and self.graph is None:  # after a run: libraries do not start within a capture
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.output = self.recorded.compute()
        for layer in cache.layers:
            layer.length = held + count
        return output[:, :count]
