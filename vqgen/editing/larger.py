"""Grids larger than the prior was trained on, through windows of the trained size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention import packed_for_inference
from vqgen.editing.completion import alike
from vqgen.editing.placement import WindowRun
from vqgen.editing.windows import plan_windows
from vqgen.orders import ScanOrder, scan_order
from vqgen.prior import Prior
from vqgen.sampling import sample_autoregressive


def complete_larger(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    unknown: Bool[Tensor, "b h w"],
    order: ScanOrder,
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    own: ScanOrder | None = None,
    margin: int | None = None,
    one_by_one: bool = False,
    depth: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    **sampling: Any,
) -> Int[Tensor, "b h w"]:
    """Keep the known codes of large grids and draw the others, each from what is known in a window around it.

    The cost is one pass over the window's known cells for every run of `plan_windows`, and a step for every cell.
    Image i depends on (seed, i) and what is known of it.

    Args:
        prior: of the window's size.
        codes: (b, h, w) int64 of the large grid; what stands in unknown cells is not read.
        unknown: (b, h, w), True where a code is to be drawn.
        order: of the large grid.
        condition: (b,) int64 labels, -1 for none; or None.
        own: the one order the prior knows, None if it takes any.
        margin: as in `plan_windows`.
        one_by_one: as in `plan_windows`.
        depth: codes a cell, the tokenizer's; windows want 1.
        seed: of the randomness; every window has noise of its own.
        batch_size: how many are drawn at a time at most; only images with equal masks are drawn together.
        sampling: temperature, top_k, top_p and guidance, as in `sample_autoregressive`; a guidance that changes with
            the progress is constant within a run.

    Returns:
        (b, h, w) int64, on the device of `codes`.

    Raises:
        ValueError: as `plan_windows`, or if an argument is out of range.

    Example:
        >>> prior = Prior(16, height=2, width=2, dim=8, depth=1, heads=1)
        >>> unknown = torch.ones(3, 4, 6, dtype=torch.bool)
        >>> order = scan_order("hilbert", height=4, width=6)
        >>> complete_larger(prior, torch.zeros(3, 4, 6, dtype=torch.int64), unknown, order, margin=0).shape
        torch.Size([3, 4, 6])
    """
    if depth != 1:
        raise ValueError(
            f"expected one code a cell, got {depth}; grids of a residual quantizer cannot be cut into windows, draw "
            "images of the trained size"
        )
    masks = [mask.cpu().numpy().tobytes() for mask in unknown]
    window = {"height": prior.height, "width": prior.width}
    plans = {
        mask: plan_windows(order, **window, margin=margin, one_by_one=one_by_one, known=~here, own=own)
        for mask, here in dict(zip(masks, unknown, strict=True)).items()
    }
    drawn = codes.clone()
    for part in alike(masks, batch_size):
        drawn[part] = _walk(
            prior,
            codes[part],
            plans[masks[part.start]],
            None if condition is None else condition[part],
            seed=seed,
            first_index=part.start,
            **sampling,
        )
    return drawn


def order_of_size(order: str | ScanOrder | None, default: ScanOrder, *, height: int, width: int) -> ScanOrder:
    """The order in which to walk a grid of another size than the prior's.

    Args:
        order: a name, an order, or None for the default by its name.
        default: the prior's order, of any size.
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        The order on that grid.

    Raises:
        ValueError: if the order is unknown or of another size.

    Example:
        >>> order_of_size(None, scan_order("snake", height=4, width=4), height=4, width=6)
        ScanOrder(name='snake', height=4, width=6, seed=0)
    """
    if order is None or isinstance(order, str):
        return scan_order(order or default.name, height=height, width=width, seed=default.seed)
    if (order.height, order.width) != (height, width):
        raise ValueError(
            f"the order visits a grid of {order.height} x {order.width}, the picture has one of {height} x {width}; "
            "make the order for the picture's grid, or give its name"
        )
    return order


def _walk(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    plan: list[WindowRun],
    condition: Int[Tensor, "b *shape"] | None,
    *,
    seed: int,
    first_index: int,
    guidance: float | Callable[[float], float] = 1.0,
    **sampling: Any,
) -> Int[Tensor, "b h w"]:
    """Draw all runs of a plan, for images that share it."""
    device = prior.code_embedding.weight.device
    flat = codes.flatten(1).clone().to(device)
    labels = None if condition is None else condition.to(device)
    # Weights are laid out once for all runs.
    rows = len(codes) * (1 if guidance == 1.0 else 2)
    packed = prior if prior.compiled else packed_for_inference(prior, rows=rows)
    waiting, done = sum(len(run.cells) for run in plan), 0
    for index, run in enumerate(plan):
        cells, context = torch.tensor(run.cells, device=device), torch.tensor(run.context, device=device).long()
        sequence = sample_autoregressive(
            packed,
            run.positions(large_width=codes.shape[2], width=prior.width).to(device),
            labels,
            batch_size=len(codes),
            prefix=flat[:, context],
            # A step in a window says nothing of how far the whole has come.
            guidance=guidance(done / max(waiting - 1, 1)) if callable(guidance) else guidance,
            seed=window_seed(seed, index),
            first_index=first_index,
            **sampling,
        )
        flat[:, cells] = sequence[:, len(run.context) :]
        done += len(run.cells)
    return flat.view_as(codes).to(codes.device)


def window_seed(seed: int, index: int) -> int:
    """A seed for a window that no other window of this seed or another has.

    Args:
        seed: of the picture.
        index: of the window, >= 0.

    Returns:
        64 bits, scattered.

    Example:
        >>> window_seed(3, 0) != window_seed(3, 1), window_seed(3, 1) != window_seed(4, 0)
        (True, True)
    """
    return int(np.random.SeedSequence((seed % 2**64, index)).generate_state(1, np.uint64)[0])
