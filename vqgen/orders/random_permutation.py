"""One random order, drawn from a seed."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor


def random_permutation(height: int, width: int, seed: int = 0) -> Int64[Tensor, "n"]:
    """One uniformly random permutation of the cells, drawn from the seed and then fixed.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        seed: in [0, 2 ** 32); the same seed gives the same order on every machine.

    Returns:
        Raster index of the cell visited at each step, shape (n,) with n = height * width.

    Raises:
        ValueError: if the seed is out of range.

    Example:
        >>> random_permutation(2, 3, seed=1).tolist()
        [2, 1, 4, 0, 3, 5]
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in [0, 2**32), got seed={seed}; pass a small whole number such as 0")
    # A trained prior's order must outlive library versions. NumPy promises never to change RandomState's stream; the
    # streams of its newer generators, and torch's, may change.
    shuffled = np.random.RandomState(seed).permutation(height * width)
    return torch.from_numpy(shuffled.astype(np.int64))
