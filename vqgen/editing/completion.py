"""Drawing the unknown codes of grids of the trained size, given the known ones."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.editing.known_first import known_first
from vqgen.orders import ScanOrder
from vqgen.prior import Prior
from vqgen.sampling import group_sizes, sample_by_confidence, sample_groups


def complete_codes(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    unknown: Bool[Tensor, "b h w"],
    order: ScanOrder,
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    fixed: bool = False,
    by_confidence: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    **sampling: Any,
) -> Int[Tensor, "b h w"]:
    """Keep the known codes and draw the others: known cells first, then the unknown ones in the order given.

    Images are drawn together while their neighbours in the batch have as many known cells; image i depends on
    (seed, i) and what is known of it, not on the others.

    Args:
        prior: one that takes any order, or (`fixed`) just this one.
        codes: (b, h, w) int64; what stands in unknown cells is not read.
        unknown: (b, h, w), True where a code is to be drawn.
        order: of the grid.
        condition: (b,) int64 labels, -1 for none; or None.
        fixed: whether the prior knows this order only; the known cells are then its beginning.
        by_confidence: ``most-certain`` or ``most-informative`` to let the prior choose the order of the unknown cells,
            see `sample_by_confidence`; None takes that of `order`.
        steps: in how many steps to draw what is unknown, several cells at once; one cell a step when None, or where
            fewer cells are unknown. For priors that take any order.
        seed: of the randomness.
        batch_size: how many are drawn at a time at most.
        sampling: temperature, top_k, top_p and guidance, as in `sample_groups`.

    Returns:
        (b, h, w) int64, on the device of `codes`.

    Raises:
        ValueError: if the order does not allow it, see `known_first`, or an argument is out of range.

    Example:
        >>> from vqgen.orders import scan_order
        >>> prior = Prior(16, height=2, width=2, dim=8, depth=1, heads=1)
        >>> codes, unknown = torch.tensor([[[1, 2], [3, 4]]]), torch.tensor([[[False, True], [True, False]]])
        >>> drawn = complete_codes(prior, codes, unknown, scan_order("raster", height=2, width=2), temperature=0.0)
        >>> drawn[~unknown].tolist()
        [1, 4]
    """
    if by_confidence is not None and fixed:
        raise ValueError(
            f"this prior knows the order {order.name!r} only and cannot choose the next cell, got {by_confidence!r}; "
            "leave it out, or train a prior with order random-per-sample"
        )
    if steps is not None and (fixed or steps < 1):
        raise ValueError(
            f"steps must be >= 1, and is for priors trained with order random-per-sample, got {steps} for one that "
            f"{'knows one order' if fixed else 'takes any'}; leave it out to draw one cell a step"
        )
    first = known_first(unknown, order, fixed=fixed)
    sequence = codes.flatten(1).gather(1, first.positions)  # (b, n), known codes in front
    device = prior.code_embedding.weight.device
    for part in alike(first.known, batch_size):
        known = first.known[part.start]
        left, positions = sequence.shape[1] - known, first.positions[part].to(device)
        if left == 0:
            continue
        arguments: dict[str, Any] = {
            "condition": None if condition is None else condition[part].to(device),
            "groups": group_sizes(left, left if steps is None else min(steps, left)),
            "prefix": sequence[part, :known].to(device),
            "seed": seed,
            "first_index": part.start,
            **sampling,
        }
        if by_confidence is None:
            drawn = sample_groups(prior, positions, **arguments)
        else:
            found = sample_by_confidence(prior, order=by_confidence, positions=positions[:, :known], **arguments)
            drawn = found.codes(height=prior.height, width=prior.width).flatten(1).gather(1, positions)
        sequence[part] = drawn.to(codes.device)
    return torch.empty_like(sequence).scatter_(1, first.positions, sequence).view_as(codes)


def alike(keys: Sequence[object], batch_size: int) -> Iterator[slice]:
    """Cut a batch into runs of equal keys, none longer than a batch size.

    Args:
        keys: what must be equal within a run, one an image.
        batch_size: >= 1.

    Yields:
        Slices of the batch, in sequence.

    Raises:
        ValueError: if the batch size is below 1.

    Example:
        >>> [(part.start, part.stop) for part in alike([5, 5, 5, 2, 5], batch_size=2)]
        [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")
    start = 0
    for _, equal in groupby(keys):
        stop = start + sum(1 for _ in equal)
        for first in range(start, stop, batch_size):
            yield slice(first, min(first + batch_size, stop))
        start = stop
