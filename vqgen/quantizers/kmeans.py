"""k-means, to start a codebook where the latents are."""

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.quantizers.nearest import nearest_codes


@torch.no_grad()
def kmeans(samples: Float[Tensor, "m d"], clusters: int, iterations: int = 10) -> Float[Tensor, "k d"]:
    """Centres of `clusters` clusters by Lloyd's algorithm, started on random samples.

    Uses the global torch generator. Where there are fewer samples than clusters, samples are repeated with a little
    noise; a cluster that loses all its samples restarts on a random one.

    Args:
        samples: (m, d), m >= 1.
        clusters: k >= 1.
        iterations: Lloyd iterations, >= 0.

    Returns:
        (k, d) centres.

    Example:
        >>> points = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
        >>> sorted(round(c, 2) for c in kmeans(points, 2).flatten().tolist()) # doctest: +SKIP
        [0.05, 5.05]
    """
    count = samples.shape[0]
    centres = samples[torch.randperm(count, device=samples.device)[:clusters]]
    if count < clusters:
        more = samples[torch.randint(count, (clusters - count,), device=samples.device)]
        spread = samples.std(0, unbiased=False) * 0.01 + 1e-4
        centres = torch.cat([centres, more + torch.randn_like(more) * spread])
    for _ in range(iterations):
        nearest = nearest_codes(samples, centres)
        counts = torch.bincount(nearest, minlength=clusters).to(samples.dtype)
        sums = torch.zeros_like(centres).index_add_(0, nearest, samples)
        fresh = samples[torch.randint(count, (clusters,), device=samples.device)]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], fresh)
    return centres
