"""Group norm over an image that is seen one window at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Window:
    """A part of a grid of cells, and the smaller part that it decides.

    Attributes:
        rows, columns: cells of the window, as slices of the grid.
        core_rows, core_columns: cells that it decides, as slices of the window.
    """

    rows: slice
    columns: slice
    core_rows: slice
    core_columns: slice


class SharedStatistics:
    """Gives every group norm of a network the mean and variance of the whole image, pooled over its windows.

    A group norm divides by statistics of the whole feature map, which no window has. So the windows are gone through
    several times: each pass pools what every norm receives in the windows' cores, and normalises by what the pass
    before pooled; the first, which has none, by the window's own. The first norm's statistics are right after one pass,
    the second's after two, and so on: after as many passes as there are norms all are exact, and near long before.

    Args:
        network: an encoder or decoder.

    Attributes:
        norms: the group norms in it.
    """

    def __init__(self, network: nn.Module) -> None:
        self.norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
        self._pooled: dict[nn.GroupNorm, Float[Tensor, "3 b g"]] = {}
        self._used: dict[nn.GroupNorm, Float[Tensor, "3 b g"]] = {}
        self._window: Window | None = None

    def next_pass(self) -> None:
        """Use what was pooled, and begin to pool anew."""
        self._used, self._pooled = self._pooled, {}

    @contextmanager
    def over(self, window: Window) -> Iterator[None]:
        """Within, the network's norms serve this window."""
        self._window = window
        for norm in self.norms:
            norm.forward = partial(self._normalise, norm)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for norm in self.norms:
                del norm.forward

    def _normalise(self, norm: nn.GroupNorm, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        assert self._window is not None
        moments = _moments(_core(x, self._window), norm.num_groups)
        self._pooled[norm] = self._pooled[norm] + moments if norm in self._pooled else moments
        count, total, squares = self._used.get(norm, _moments(x, norm.num_groups))
        mean = total / count
        scale = (squares / count - mean.square()).clamp(min=0).add(norm.eps).rsqrt()
        width = x.shape[1] // norm.num_groups  # channels a group
        mean, scale = (each.float().repeat_interleave(width, dim=1)[:, :, None, None] for each in (mean, scale))
        result = (x.float() - mean) * scale * norm.weight[:, None, None] + norm.bias[:, None, None]
        return result.to(x.dtype)


def _core(x: Float[Tensor, "b c H W"], window: Window) -> Float[Tensor, "b c H2 W2"]:
    """The part of a feature map that lies under the cells that a window decides."""
    size = x.shape[-1] // (window.columns.stop - window.columns.start)  # places per cell side, at this layer
    rows, columns = (slice(part.start * size, part.stop * size) for part in (window.core_rows, window.core_columns))
    return x[:, :, rows, columns]


def _moments(x: Float[Tensor, "b c H W"], groups: int) -> Float[Tensor, "3 b g"]:
    """Count, sum and sum of squares of each group, in fp64: they are differences of large numbers later."""
    grouped = x.reshape(x.shape[0], groups, -1).double()
    count = torch.full(grouped.shape[:2], grouped.shape[2], dtype=torch.float64, device=x.device)
    return torch.stack((count, grouped.sum(2), grouped.square().sum(2)))
