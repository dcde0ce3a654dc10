"""Attention of Transformer-XL: a segment of the sequence at a time, with what came before it as a memory."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.base import Attention, Places, Reach
from vqgen.attention.cache import LayerCache
from vqgen.attention.dense import dense_causal_attention
from vqgen.attention.segment_cache import SegmentLayerCache


@dataclass(frozen=True)
class SegmentReach(Reach):
    """Which steps the rows of a pass stand for, and how far back each of them looks.

    Attributes:
        segment: steps of a segment.
        memory: steps before it.
        opened: rows at the beginning that every later row sees: a condition's, and the start.
        step: (m,) step of each new row; -1 for rows of a condition.
        key_step: (t,) step of every row.
        first: index of the first new row.
        visible: (m, t) which rows come before each new row, where that is not simply itself and those before it.
    """

    segment: int
    memory: int
    opened: int
    step: Int[Tensor, " m"]
    key_step: Int[Tensor, " t"]
    first: int
    visible: Bool[Tensor, "m t"] | None

    def cut(self, first: int, count: int) -> "SegmentReach":
        """The same for these rows, over all before them; see `Reach.cut`."""
        stop, visible = first + count, self.visible
        visible = None if visible is None else visible[first:stop, :stop]
        step, key_step = self.step[first:stop], self.key_step[:stop]
        return SegmentReach(self.segment, self.memory, self.opened, step, key_step, first, visible)

    def mask(self) -> Bool[Tensor, "m t"]:
        """(m, t) which rows each new row sees."""
        before = self.visible
        if before is None:
            before = torch.ones(len(self.step), len(self.key_step), dtype=torch.bool, device=self.step.device).tril(
                diagonal=self.first
            )
        since = self.step // self.segment * self.segment - self.memory
        near = self.key_step >= since[:, None]
        near[:, : self.opened] = True
        return before & near


class SegmentAttention(Attention):
    """Each row sees its segment up to itself, and the ``memory`` steps before it, through which no gradient flows.

    The sequence is cut into segments of so many steps, which are rows of the grid in raster order and runs of cells in
    any other. A step t of the segment that begins at step s attends to the steps ``s - memory .. t`` (and always to the
    start, which stands for the condition). In training the normalised hidden states before s are held fixed, as if they
    had been computed earlier and stored: weights learn to read them, and nothing learns to write them for later
    segments. All segments of a sequence are known in training, so they are computed at once, layer by layer; that gives
    the numbers of going from segment to segment.

    Layers see further than one memory: layer l reads states that layer l - 1 made of a memory of its own, so what is
    known reaches back depth * memory steps. Sampling keeps ``memory + segment`` steps, however long the sequence.

    Args:
        segment: steps of a segment, >= 1.
        memory: steps before the segment that it sees, >= 0; from n on this is dense attention, but for the gradient.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> order = torch.arange(6)[None]
        >>> attention = SegmentAttention(2, memory=1)
        >>> reach = attention.reach(Places(order, order - 1, first=0, height=2, width=3))
        >>> reach.mask().int()
        tensor([[1, 0, 0, 0, 0, 0],
                [1, 1, 0, 0, 0, 0],
                [1, 1, 1, 0, 0, 0],
                [1, 1, 1, 1, 0, 0],
                [1, 0, 0, 1, 1, 0],
                [1, 0, 0, 1, 1, 1]], dtype=torch.int32)

    Source: Dai et al., Transformer-XL (1901.02860), section 3.2. The start, which every step sees here, is not part of
    the memory, and its gradient flows: a text has no condition to remember.
    """

    remembers = True

    def __init__(self, segment: int, memory: int) -> None:
        super().__init__()
        if segment < 1 or memory < 0:
            raise ValueError(
                f"segment must be >= 1 and memory >= 0, in steps, got segment={segment} and memory={memory}"
            )
        self.segment = segment
        self.memory = memory

    def reach(self, places: Places) -> SegmentReach:
        """Note the step of every row; see `Attention.reach`."""
        opened = places.prefix + 1
        return SegmentReach(
            self.segment,
            self.memory,
            opened,
            places.target_steps,
            places.content_steps + 1,
            places.first,
            places.visible,
        )

    def layer_cache(
        self, sizes: tuple[int, int, int, int], *, prefix: int, dtype: torch.dtype, device: torch.device
    ) -> LayerCache:
        """Make an empty cache that keeps what may still be looked at; see `Attention.layer_cache`."""
        opened = prefix + 1
        batch, heads, rows, width = sizes
        room = (batch, heads, min(opened + self.memory + self.segment, rows), width)
        return SegmentLayerCache(
            torch.empty(room, dtype=dtype, device=device),
            torch.empty(room, dtype=dtype, device=device),
            opened=opened,
            segment=self.segment,
            memory=self.memory,
        )

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
        held: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """Attend to the segment and to the memory; see `Attention.forward`.

        Args:
            query: (b, heads, m, e) queries of the newest m rows.
            keys: (b, heads, t, e) keys of all rows, or of the first ones and the last.
            values: (b, heads, t, e) values of the same rows.
            reach: what `reach` made of their places.
            held: keys and values of the same rows made from hidden states that are held fixed; None for the same.

        Returns:
            (b, heads, m, e) one mixture of values per query.
        """
        assert isinstance(reach, SegmentReach), "segments need to know the steps"
        rows, known = query.shape[2], keys.shape[2]
        if reach.first == 0 and reach.visible is None and rows == known:
            return self._whole(query, keys, values, *((keys, values) if held is None else held), reach)
        mask = present(reach.mask(), known, reach.opened)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

    def _whole(
        self, query: Tensor, keys: Tensor, values: Tensor, held_keys: Tensor, held_values: Tensor, reach: SegmentReach
    ) -> Tensor:
        """All segments at once: (b, heads, rows, e) -> (b heads, segments, segment, e)."""
        batch, heads, rows = query.shape[:3]
        prefix, opened = reach.opened - 1, reach.opened
        steps = rows - prefix
        segment, memory = min(reach.segment, steps), min(reach.memory, steps)
        count = -(-steps // segment)
        front = keys[:, :, :opened].flatten(0, 1), values[:, :, :opened].flatten(0, 1)

        def cut(tensor: Tensor) -> Tensor:
            filled = F.pad(tensor[:, :, prefix:].flatten(0, 1), (0, 0, 0, count * segment - steps))
            return filled.view(len(filled), count, segment, -1)

        def looked_at(live: Tensor, fixed: Tensor, first: Tensor) -> Tensor:
            parts = [first[:, None].expand(-1, count, -1, -1), cut(live)]
            if memory:
                past = F.pad(fixed[:, :, prefix:].flatten(0, 1), (0, 0, memory, count * segment - steps))
                windows = past.unfold(1, memory, segment)[:, :count]  # (b heads, segments, e, memory)
                parts.insert(1, windows.transpose(-1, -2))
            return torch.cat(parts, dim=2)

        begin = torch.arange(count, device=query.device)[:, None] * segment
        own = torch.arange(segment, device=query.device)
        # The start is among the first rows, so it is not looked at a second time where it is in a memory or a segment.
        remembered = begin - memory + torch.arange(memory, device=query.device) >= 1  # (segments, memory)
        present_steps = (own <= own[:, None]) & (begin[..., None] + own >= 1)  # (segments, segment, segment)
        mask = torch.cat(
            (
                torch.ones(count, segment, opened, dtype=torch.bool, device=query.device),
                remembered[:, None].expand(-1, segment, -1),
                present_steps,
            ),
            dim=2,
        )
        mixed = F.scaled_dot_product_attention(
            cut(query),
            looked_at(keys, held_keys, front[0]),
            looked_at(values, held_values, front[1]),
            attn_mask=mask,
        )
        mixed = mixed.flatten(1, 2)[:, :steps].reshape(batch, heads, steps, -1)
        if prefix == 0:
            return mixed
        before = dense_causal_attention(query[:, :, :prefix], keys[:, :, :prefix], values[:, :, :prefix])
        return torch.cat((before, mixed), dim=2)


def present(tensor: Tensor, known: int, opened: int) -> Tensor:
    """Take, of what is said of every row, what is said of those that a cache still holds.

    Args:
        tensor: (..., t).
        known: how many rows it holds, <= t.
        opened: rows at the beginning that it holds; the others are the last ones.

    Returns:
        (..., known).

    Example:
        >>> present(torch.arange(8), 5, 2).tolist()
        [0, 1, 5, 6, 7]
    """
    missing = tensor.shape[-1] - known
    if missing == 0:
        return tensor
    return torch.cat((tensor[..., :opened], tensor[..., opened + missing :]), dim=-1)
