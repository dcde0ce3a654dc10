"""The keys and values of the steps already taken, kept so that each new step costs one step."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.attention.memory import Memory


class LayerCache:
    """Keys and values of one layer, in tensors allocated once.

    The layer writes its new steps after the ``length`` steps that are there and reads all of them back as views, so
    nothing is copied or allocated as the sequence grows. What every step looks at besides, `memory`, is put there with
    the first step.

    Args:
        keys: (b, heads, n, e) room for n steps; its content does not matter.
        values: (b, heads, n, e) likewise.

    Example:
        >>> import torch
        >>> layer = LayerCache(torch.empty(1, 1, 4, 2), torch.empty(1, 1, 4, 2))
        >>> keys, values = layer.append(torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3, 2))
        >>> layer.length, tuple(keys.shape)
        (3, (1, 1, 3, 2))
    """

    def __init__(self, keys: Float[Tensor, "b heads n e"], values: Float[Tensor, "b heads n e"]) -> None:
        self.keys = keys
        self.values = values
        self.length = 0
        self.memory: Memory | None = None

    def append(
        self, keys: Float[Tensor, "b heads m e"], values: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads t e"], Float[Tensor, "b heads t e"]]:
        """Add m steps and give back all ``t = length + m`` of them.

        Args:
            keys: (b, heads, m, e) keys of the new steps.
            values: (b, heads, m, e) values of the new steps.

        Returns:
            (b, heads, t, e) keys and values of every step so far, as views into the cache.

        Raises:
            ValueError: when the batch differs from the one the cache was made for, or the steps do not fit.
        """
        start, count = self.length, keys.shape[2]
        if keys.shape[0] != self.keys.shape[0]:
            raise ValueError(
                f"this cache was made for a batch of {self.keys.shape[0]}, got {keys.shape[0]}; "
                "make a new one for this batch"
            )
        if start + count > self.keys.shape[2]:
            raise ValueError(
                f"this cache has room for {self.keys.shape[2]} steps and holds {start}, got {count} more; "
                "trim or reset it first"
            )
        self.keys.narrow(2, start, count).copy_(keys)
        self.values.narrow(2, start, count).copy_(values)
        self.length = start + count
        return self.keys.narrow(2, 0, self.length), self.values.narrow(2, 0, self.length)

    def trim(self, length: int) -> None:
        """Forget all but the first rows.

        Args:
            length: rows to keep, at most as many as there are.
        """
        self.length = length


class KVCache:
    """Keys and values of every layer of one prior, for one batch that is being drawn or scored.

    A cache is an argument: it belongs to a call and never to a model, so two callers can share a model.

    Args:
        layers: number of layers, >= 1.
        batch_size: b, the number of sequences that advance together (twice the images when guidance is on).
        heads: attention heads per layer.
        steps: n, the most steps it can hold.
        head_dim: e, width of one head.
        rows: rows of keys and values that each step takes, >= 1.
        prefix: rows that come before the first step and stay with it, >= 0.
        dtype: of the stored keys and values.
        device: where they are stored.
        layer_caches: one for each layer, where attention wants them of its own kind; None for those that keep all.

    Raises:
        ValueError: when a size is below 1.

    Example:
        >>> cache = KVCache(layers=2, batch_size=3, heads=4, steps=16, head_dim=8)
        >>> cache.length, cache.batch_size, cache.bytes
        (0, 3, 24576)
    """

    def __init__(
        self,
        *,
        layers: int,
        batch_size: int,
        heads: int,
        steps: int,
        head_dim: int,
        rows: int = 1,
        prefix: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        layer_caches: Iterable[LayerCache] | None = None,
    ) -> None:
        sizes = {"layers": layers, "batch_size": batch_size, "heads": heads, "steps": steps, "head_dim": head_dim}
        sizes["rows"] = rows
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be >= 1, got {name}={size}")
        if prefix < 0:
            raise ValueError(f"prefix must be >= 0, got prefix={prefix}")
        shape = (batch_size, heads, prefix + steps * rows, head_dim)
        self.batch_size = batch_size
        self.rows = rows
        self.prefix = prefix
        self.cells: Tensor | None = None  # (b, h * w + 1, d) what a condition adds to steps by cell; the last row is 0
        if layer_caches is None:
            layer_caches = [
                LayerCache(*(torch.empty(shape, dtype=dtype, device=device) for _ in range(2))) for _ in range(layers)
            ]
        self.layers = tuple(layer_caches)

    @property
    def length(self) -> int:
        """Number of whole steps held so far."""
        return max(self.layers[0].length - self.prefix, 0) // self.rows

    @property
    def held(self) -> int:
        """Number of rows held so far, those of the prefix included."""
        return self.layers[0].length

    @property
    def bytes(self) -> int:
        """Memory taken by the keys and values, full or not."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers)

    def trim(self, length: int) -> None:
        """Forget all but the first ``length`` steps, for instance to draw another ending to the same beginning.

        With no step left the prefix goes too: the next run begins with a condition of its own.

        Args:
            length: steps to keep, from 0 to the present length.

        Raises:
            ValueError: when it holds fewer steps than that.

        Example:
            >>> cache = KVCache(layers=1, batch_size=1, heads=1, steps=4, head_dim=2)
            >>> cache.trim(1)
            Traceback (most recent call last):
            ...
            ValueError: length must be from 0 to 0, the steps this cache holds, got 1
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be from 0 to {self.length}, the steps this cache holds, got {length}")
        for layer in self.layers:
            layer.trim(self.prefix + length * self.rows if length else 0)

    def reset(self) -> None:
        """Forget everything and keep the memory, ready for another batch of the same size."""
        self.trim(0)
