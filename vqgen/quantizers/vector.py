"""VQ-VAE's quantizer: the codebook is learned by gradient."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.quantizers.nearest_neighbour import NearestNeighbourQuantizer


class VectorQuantizer(NearestNeighbourQuantizer):
    """Nearest-neighbour quantizer with a codebook learned by gradient (VQ-VAE, 1711.00937, equation 3).

    `loss = codebook_weight * ||sg[z] - e||^2 + commitment * ||z - sg[e]||^2`, means over all elements: the first term
    moves the codebook towards the latents, the second, weighted by beta, keeps the encoder near its codes.

    Args:
        codebook_size: number of codes k.
        dim: width of a latent d.
        codebook_weight: weight of the codebook term, > 0.
        commitment: weight beta of the commitment term, >= 0.
        l2_normalise: latents and codes on the unit sphere.
        kmeans_start: place the codebook by k-means on the first training batch.
        restart_below: a code used less than this fraction of an equal share is restarted; 0 never.
        usage_decay: per-step decay of the use counts.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> quantizer = VectorQuantizer(codebook_size=16, dim=4)
        >>> out = quantizer(torch.randn(2, 4, 3, 5))
        >>> out.latents.shape, out.codes.shape
        (torch.Size([2, 4, 3, 5]), torch.Size([2, 3, 5]))
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        codebook_weight: float = 1.0,
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
        if codebook_weight <= 0:
            raise ValueError(f"codebook_weight must be > 0, or the codebook never moves; got {codebook_weight}")
        self.codebook_weight = codebook_weight
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim) / dim**0.5)

    def _loss(self, rows: Float[Tensor, "n d"], quantized: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        codebook = F.mse_loss(quantized, rows.detach())
        commitment = F.mse_loss(rows, quantized.detach())
        return self.codebook_weight * codebook + self.commitment * commitment

    def _learn(self, rows: Float[Tensor, "n d"], codes: Int[Tensor, "n"]) -> None:
        """The gradient of the loss teaches the codebook."""

    def _place(self, which: Bool[Tensor, "k"], vectors: Float[Tensor, "m d"]) -> None:
        self.codebook.data[which] = vectors
