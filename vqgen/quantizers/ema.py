"""The quantizer whose codebook follows its latents by moving averages."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers.nearest_neighbour import NearestNeighbourQuantizer
from vqgen.quantizers.processes import sum_over_processes


class EMAVectorQuantizer(NearestNeighbourQuantizer):
    """Nearest-neighbour quantizer whose codes are moving averages of their latents (1711.00937, appendix A.1).

    `N_k <- decay N_k + (1 - decay) n_k`, `m_k <- decay m_k + (1 - decay) sum z`, `e_k = m_k / N_k`, with Laplace
    smoothing of the counts. The only loss is `commitment * ||z - sg[e]||^2`.

    Args:
        codebook_size: number of codes k.
        dim: width of a latent d.
        decay: of the moving averages, in (0, 1).
        epsilon: Laplace smoothing of the counts, > 0.
        commitment: weight beta of the commitment term, >= 0.
        l2_normalise: latents and codes on the unit sphere.
        kmeans_start: place the codebook by k-means on the first training batch.
        restart_below: a code used less than this fraction of an equal share is restarted; 0 never.
        usage_decay: per-step decay of the use counts.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> quantizer = EMAVectorQuantizer(codebook_size=16, dim=4)
        >>> codes = quantizer.encode(torch.randn(2, 4, 3, 5))
        >>> quantizer.lookup(codes).shape
        torch.Size([2, 4, 3, 5])
    """

    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        commitment: float = 0.25,
        l2_normalise: bool = False,
        kmeans_start: bool = True,
        restart_below: float = 0.1,
        usage_decay: float = 0.95,
    ) -> None:
        super().__init__(
            codebook_size,
            dim,
            commitment=commitment,
            l2_normalise=l2_normalise,
            kmeans_start=kmeans_start,
            restart_below=restart_below,
            usage_decay=usage_decay,
        )
        if not 0 < decay < 1 or epsilon <= 0:
            raise ValueError(f"decay must be in (0, 1) and epsilon > 0, got decay={decay}, epsilon={epsilon}")
        self.decay = decay
        self.epsilon = epsilon
        codebook = torch.randn(codebook_size, dim) / dim**0.5
        self.register_buffer("codebook", codebook)
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", codebook.clone())

    def _loss(self, rows: Float[Tensor, "n d"], quantized: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        return self.commitment * F.mse_loss(rows, quantized.detach())

    @torch.no_grad()
    def _learn(self, rows: Float[Tensor, "n d"], codes: Int[Tensor, "n"]) -> None:
        # One all-reduce for both: the counts ride along as an extra column of the sums.
        with_count = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
        totals = rows.new_zeros(self.codebook_size, self.dim + 1).index_add_(0, codes, with_count)
        totals = sum_over_processes(totals)
        self.sums.mul_(self.decay).add_(totals[:, :-1], alpha=1 - self.decay)
        self.counts.mul_(self.decay).add_(totals[:, -1], alpha=1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + self.epsilon) / (total + self.codebook_size * self.epsilon) * total
        self.codebook.copy_(self.sums / smoothed[:, None])

    @torch.no_grad()
    def _place(self, which: Bool[Tensor, "k"], vectors: Float[Tensor, "m d"]) -> None:
        self.codebook[which] = vectors
        self.counts[which] = 1.0
        self.sums[which] = vectors
