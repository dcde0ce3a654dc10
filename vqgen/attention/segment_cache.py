"""Keys and values of the last steps only: a cache whose size does not grow with the sequence."""

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.attention.cache import LayerCache


class SegmentLayerCache(LayerCache):
    """Keeps the rows that `SegmentAttention` may still look at, and lets go of older ones as a segment begins.

    It holds the first rows (a condition's and the start), the memory and the present segment; `length` goes on counting
    all rows. A longer run of rows at once, such as a known beginning, is held until the next one.

    Args:
        keys: (b, heads, opened + memory + segment, e) room; its content does not matter.
        values: likewise.
        opened: rows at the beginning that are never let go of, >= 1; the last of them is step 0.
        segment: steps of a segment.
        memory: steps before the present segment that are kept.

    Example:
        >>> import torch
        >>> room = torch.empty(1, 1, 1 + 2 + 2, 8)
        >>> layer = SegmentLayerCache(room, room.clone(), opened=1, segment=2, memory=2)
        >>> held = [layer.append(torch.ones(1, 1, 1, 8), torch.ones(1, 1, 1, 8))[0].shape[2] for _ in range(8)]
        >>> held, layer.length
        ([1, 2, 3, 4, 4, 5, 4, 5], 8)
    """

    def __init__(
        self,
        keys: Float[Tensor, "b heads n e"],
        values: Float[Tensor, "b heads n e"],
        *,
        opened: int,
        segment: int,
        memory: int,
    ) -> None:
        super().__init__(keys, values)
        self.opened = opened
        self.segment = segment
        self.memory_steps = memory
        self.room = keys.shape[2]
        self.dropped = 0

    def append(
        self, keys: Float[Tensor, "b heads m e"], values: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads t e"], Float[Tensor, "b heads t e"]]:
        """Add m steps, and give back those that they may look at; see `LayerCache.append`.

        Args:
            keys: (b, heads, m, e) keys of the new steps.
            values: (b, heads, m, e) values of the new steps.

        Returns:
            (b, heads, t, e) keys and values of the first rows, then of the last ones up to the newest.

        Raises:
            ValueError: when the batch differs from the one the cache was made for.
        """
        if keys.shape[0] != self.keys.shape[0]:
            raise ValueError(
                f"this cache was made for a batch of {self.keys.shape[0]}, got {keys.shape[0]}; "
                "make a new one for this batch"
            )
        self._let_go()
        held, count = self.length - self.dropped, keys.shape[2]
        if held + count > self.keys.shape[2]:
            self.keys = torch.cat((self.keys[:, :, :held], keys), dim=2)
            self.values = torch.cat((self.values[:, :, :held], values), dim=2)
        else:
            self.keys.narrow(2, held, count).copy_(keys)
            self.values.narrow(2, held, count).copy_(values)
        self.length += count
        return self.keys.narrow(2, 0, held + count), self.values.narrow(2, 0, held + count)

    def trim(self, length: int) -> None:
        """Forget all but the first rows, as far as the rows before them are still there.

        Args:
            length: rows to keep.

        Raises:
            ValueError: when it was let go of rows that the next one would look at.
        """
        if length == 0:
            self.dropped = 0
        elif self._needed(length) < self.opened + self.dropped:
            raise ValueError(
                f"this cache holds the rows from {self.opened + self.dropped} on, and step {length - self.opened + 1} "
                f"looks back to row {self._needed(length)}; go back within a segment, or begin anew"
            )
        self.length = length

    def _needed(self, length: int) -> int:
        """The first row, but those never let go of, that the next of so many rows may look at."""
        step = length - (self.opened - 1)
        return max(step // self.segment * self.segment - self.memory_steps, 1) + self.opened - 1

    def _let_go(self) -> None:
        """Move what is still needed to where the next rows follow it."""
        gone = self._needed(self.length) - self.opened - self.dropped
        if gone <= 0:
            return
        held = self.length - self.dropped
        for name in ("keys", "values"):
            tensor: Tensor = getattr(self, name)
            kept = tensor[:, :, self.opened + gone : held].clone()
            if tensor.shape[2] > self.room:
                first = tensor[:, :, : self.opened]
                tensor = tensor.new_empty(*tensor.shape[:2], self.room, tensor.shape[3])
                tensor[:, :, : self.opened] = first
                setattr(self, name, tensor)
            tensor[:, :, self.opened : self.opened + kept.shape[2]] = kept
        self.dropped += gone
