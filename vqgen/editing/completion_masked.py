"""Drawing the unknown codes of grids with a masked prior."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.prior import MaskedPrior
from vqgen.sampling import UNKNOWN, sample_masked


def complete_masked(
    prior: MaskedPrior,
    codes: Int[Tensor, "b h w"],
    unknown: Bool[Tensor, "b h w"],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    steps: int | Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 64,
    **sampling: Any,
) -> Int[Tensor, "b h w"]:
    """Keep the known codes and draw the others; what is known where is all the same to a masked prior.

    Args:
        prior: a masked one.
        codes: (b, h, w) int64; what stands in unknown cells is not read.
        unknown: (b, h, w), True where a code is to be drawn.
        condition: (b, ...) int64, -1 for none; or None.
        steps: in how many steps, or how many cells at each, see `sample_masked`, whose default it is when None.
        seed: of the randomness; image i depends on (seed, i), its known codes and condition.
        batch_size: how many are drawn at a time at most.
        sampling: schedule, temperature, choice_temperature, top_k, top_p, guidance and on_step, as in `sample_masked`.

    Returns:
        (b, h, w) int64, on the device of `codes`.

    Raises:
        ValueError: if the grid is not the prior's, or an argument is out of range.

    Example:
        >>> prior = MaskedPrior(16, height=2, width=2, dim=8, depth=1, heads=1)
        >>> codes, unknown = torch.tensor([[[1, 2], [3, 4]]]), torch.tensor([[[False, True], [True, False]]])
        >>> complete_masked(prior, codes, unknown, steps=2)[~unknown].tolist()
        [1, 4]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")
    known = codes.masked_fill(unknown, UNKNOWN)
    sampling = sampling if steps is None else {"steps": steps, **sampling}
    return torch.cat(
        [
            sample_masked(
                prior,
                None if condition is None else condition[start : start + batch_size],
                known=known[start : start + batch_size],
                seed=seed,
                first_index=start,
                **sampling,
            )
            for start in range(0, len(codes), batch_size)
        ]
    ).to(codes.device)
