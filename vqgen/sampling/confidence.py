"""Draw codes in an order that is found on the way: where the prior is most certain first, or where it is least."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.prior import Prior, check_positions
from vqgen.sampling.filtering import check_filters, draw_codes, filter_logits
from vqgen.sampling.groups import check_groups
from vqgen.sampling.guided import GuidedPrior
from vqgen.sampling.noise import image_uniforms
from vqgen.sampling.request import Guidance, batch_size_of, begin_sequence, guidance_scales

CONFIDENCE_ORDERS: dict[str, float] = {"most-certain": 1.0, "most-informative": -1.0}
"""Orders by name, and the sign of a cell's entropy in its rank: the lowest is visited first."""


@dataclass(frozen=True)
class DrawnInOrder:
    """Codes, and the order they were found in, which is another one for each image.

    Attributes:
        sequence: (b, n) int64 codes in visiting order.
        positions: (b, n) raster index of the cell visited at each step.
    """

    sequence: Int[Tensor, "b n"]
    positions: Int[Tensor, "b n"]

    def codes(self, *, height: int, width: int) -> Int[Tensor, "b h w"]:
        """The codes as grids of that size, h * w = n."""
        return torch.empty_like(self.sequence).scatter_(1, self.positions, self.sequence).view(-1, height, width)


def sample_by_confidence(
    prior: Prior,
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    order: str = "most-certain",
    groups: Sequence[int] | None = None,
    batch_size: int | None = None,
    prefix: Int[Tensor, "b m"] | None = None,
    positions: Int[Tensor, "b m"] | Int[Tensor, " m"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: Guidance = 1.0,
    seed: int = 0,
    first_index: int = 0,
    on_step: Callable[[int, Int[Tensor, "b t"]], None] | None = None,
) -> DrawnInOrder:
    """Draw the whole grid, at each step the cells whose codes the prior is most (or least) certain of.

    Every step asks about all cells that are still empty, and draws those with the lowest entropy
    ``-sum_c p(c) log p(c)`` of the guided distribution, before temperature and filters; cells that tie, to four
    decimals, by raster index. ``most-informative`` draws those with the highest, whose codes tell most. The prior has
    to be one that was trained on random orders and is told the target. A step costs a row for every empty cell, so a
    whole grid one by one costs about as much as n / 2 rows a step.

    Args:
        prior: the prior, on any device; neither its mode nor its weights are changed.
        condition: (b,) int64 labels, -1 for none; or None.
        order: ``most-certain`` or ``most-informative``.
        groups: how many cells to draw at each step, as in `sample_groups`; one at a time when None.
        batch_size: b, number of images; needed only where condition, prefix and positions do not tell it.
        prefix: (b, m) int64 codes of known cells, which are kept.
        positions: (m,) or (b, m) raster indices of the known cells.
        temperature: >= 0; 0 always takes the most likely code.
        top_k: keep the k most likely codes, or all when None.
        top_p: keep the most likely codes that hold this share of the probability, or all when None.
        guidance: as in `sample_groups`.
        seed: of all randomness, which belongs to (seed, index, step).
        first_index: index of the first image, >= 0.
        on_step: called as ``on_step(t, sequence[:, :t + 1])`` after each group, t its last step.

    Returns:
        The codes in visiting order, and each image's order, on the prior's device.

    Raises:
        ValueError: when the order is unknown, and as `sample_groups`.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)
        >>> drawn = sample_by_confidence(prior, torch.tensor([0, 3]), groups=(1, 2, 3))
        >>> drawn.positions.sort(dim=1).values.tolist()
        [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
        >>> drawn.codes(height=2, width=3).shape
        torch.Size([2, 2, 3])

    Source: the most certain first, Chang et al., MaskGIT (2202.04200), section 3.3, there with all cells predicted
    anew at every step.
    """
    check_filters(temperature=temperature, top_k=top_k, top_p=top_p)
    if order not in CONFIDENCE_ORDERS:
        raise ValueError(f"order must be one of {', '.join(CONFIDENCE_ORDERS)}, got {order!r}")
    batch, cells = batch_size_of(batch_size, positions, condition, prefix), prior.height * prior.width
    sequence, known = begin_sequence(prior, prefix, batch_size=batch, steps=cells)
    visited = torch.zeros_like(sequence)
    if known != (0 if positions is None else positions.shape[-1]):
        raise ValueError(
            f"expected a position for every code of the prefix, got {known} codes and "
            f"{0 if positions is None else positions.shape[-1]} positions"
        )
    if positions is not None and known:
        check_positions(positions, cells=cells)
        visited[:, :known] = positions.to(visited.device)
    groups = (1,) * (cells - known) if groups is None else groups
    check_groups(groups, steps=cells, known=known)
    starts = list(accumulate(groups, initial=known))[:-1]
    scales = guidance_scales(guidance, starts, steps=cells, condition=condition)
    if not starts:
        return DrawnInOrder(sequence, visited)

    condition = None if condition is None else condition.to(sequence.device)
    uniforms = image_uniforms(seed, first_index=first_index, batch_size=batch, steps=cells, device=sequence.device)
    with torch.inference_mode():
        guided = any(scale != 1.0 for scale in scales)
        taken = zip((known + 1, *(size + 1 for size in groups)), starts, strict=False)
        rows = [count + cells - start - 1 for count, start in taken]
        asked = GuidedPrior(prior, condition, batch_size=batch, guided=guided, rows=rows)
        previous = sequence[:, :known]
        for start, size, scale in zip(starts, groups, scales, strict=True):
            stop = start + size
            empty = _empty_cells(visited[:, :start], cells)
            logits = asked.logits(previous, visited, scale=scale, cells=empty)  # (b, n - start, k)
            asked.cache.trim(start)  # which cell comes next is decided only now
            chosen = (CONFIDENCE_ORDERS[order] * _entropy(logits)).argsort(dim=1, stable=True)[:, :size]
            visited[:, start:stop] = empty.gather(1, chosen)
            found = logits.gather(1, chosen[..., None].expand(-1, -1, logits.shape[-1]))
            kept = filter_logits(found, temperature=temperature, top_k=top_k, top_p=top_p)
            sequence[:, start:stop] = draw_codes(kept, uniforms[:, start:stop])
            previous = sequence[:, max(start - 1, 0) : stop]
            if on_step is not None:
                on_step(stop - 1, sequence[:, :stop])
    asked.check_finite()
    return DrawnInOrder(sequence, visited)


def _empty_cells(visited: Int[Tensor, "b s"], cells: int) -> Int[Tensor, "b u"]:
    empty = torch.ones(len(visited), cells, dtype=torch.bool, device=visited.device).scatter_(1, visited, False)
    return empty.nonzero()[:, 1].view(len(visited), -1)  # by raster index within each image


def _entropy(logits: Float[Tensor, "b q k"]) -> Float[Tensor, "b q"]:
    logarithms = logits.log_softmax(dim=-1)
    # To four decimals: which of two equally certain cells comes first is not left to a device's rounding.
    return -(logarithms.exp() * logarithms).sum(dim=-1).round(decimals=4)
