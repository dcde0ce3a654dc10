"""What the nearest-neighbour quantizers share: a codebook, its k-means start, and the restart of dead codes."""

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.kmeans import kmeans
from vqgen.quantizers.nearest import nearest_codes
from vqgen.quantizers.processes import from_first_process, gather_rows, sum_over_processes
from vqgen.quantizers.rows import check_codes, to_grid, to_rows

KMEANS_SAMPLES_PER_CODE = 16


class NearestNeighbourQuantizer(Quantizer):
    """Each latent becomes its nearest codebook vector; the gradient passes straight through (1711.00937, section 3.2).

    Everything is computed in fp32, whatever the autocast. In training mode, the first batch places the codebook by
    k-means, and a code that is used less often than `restart_below` of an equal share is moved onto a latent of the
    batch that is badly served. With several processes, counts, samples and restarts are those of all of them together.

    Args:
        codebook_size: number of codes k, >= 1.
        dim: width of a latent d, >= 1.
        commitment: weight of the commitment loss (beta), >= 0.
        l2_normalise: compare directions: latents and codes are put on the unit sphere (2110.04627, section 3.2). Best
            with a low `dim` (8 to 32).
        kmeans_start: place the codebook by k-means on the first training batch.
        restart_below: a code is dead when its share of use falls below this fraction of 1/k; 0 never restarts.
        usage_decay: per-step decay of the use counts, in [0, 1).

    Raises:
        ValueError: if an argument is out of range.
    """

    codebook: Tensor
    usage: Tensor
    started: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        commitment: float = 0.25,
        l2_normalise: bool = False,
        kmeans_start: bool = True,
        restart_below: float = 0.1,
        usage_decay: float = 0.95,
    ) -> None:
        super().__init__()
        if codebook_size < 1 or dim < 1:
            raise ValueError(f"codebook_size and dim must be >= 1, got codebook_size={codebook_size}, dim={dim}")
        if commitment < 0 or restart_below < 0:
            raise ValueError(
                f"commitment and restart_below must be >= 0, got commitment={commitment}, restart_below={restart_below}"
            )
        if not 0 <= usage_decay < 1:
            raise ValueError(f"usage_decay must be in [0, 1), got {usage_decay}")
        self.codebook_size = codebook_size
        self.dim = dim
        self.commitment = commitment
        self.l2_normalise = l2_normalise
        self.kmeans_start = kmeans_start
        self.restart_below = restart_below
        self.usage_decay = usage_decay
        # Shares of use: an exponential average that starts at an equal share, so no code is dead at once.
        self.register_buffer("usage", torch.full((codebook_size,), 1 / codebook_size))
        self.register_buffer("started", torch.tensor(not kmeans_start))

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Quantize latents; in training mode also learn.

        Args:
            latents: (b, d, h, w), any float type.

        Returns:
            Quantized latents in fp32 with straight-through gradient, codes, and the loss.
        """
        with torch.autocast(latents.device.type, enabled=False):
            rows = self._rows(latents)
            if self.training:
                self._start(rows.detach())
            codes = nearest_codes(rows.detach(), self._vectors().detach())
            if self.training:
                self._restart_dead(rows.detach(), codes)
            quantized = self._vectors()[codes]
            loss = self._loss(rows, quantized)
            if self.training:
                self._learn(rows.detach(), codes)
            straight_through = rows + (quantized - rows).detach()
        return Quantized(
            latents=to_grid(straight_through, latents),
            codes=codes.view(latents.shape[0], *latents.shape[2:]),
            loss=loss,
        )

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Codes of latents; learns nothing.

        Args:
            latents: (b, d, h, w).

        Returns:
            (b, h, w) int64 in [0, k).
        """
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            codes = nearest_codes(self._rows(latents), self._vectors())
        return codes.view(latents.shape[0], *latents.shape[2:])

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Codebook vectors of codes.

        Args:
            codes: (b, h, w) in [0, k).

        Returns:
            (b, d, h, w) fp32.

        Raises:
            ValueError: if a code is out of range.
        """
        check_codes(codes, self.codebook_size)
        return self._vectors()[codes].movedim(-1, 1)  # (b, h, w, d) -> (b, d, h, w)

    @abstractmethod
    def _loss(self, rows: Float[Tensor, "n d"], quantized: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """What is added to the training loss."""

    @abstractmethod
    def _learn(self, rows: Float[Tensor, "n d"], codes: Int[Tensor, "n"]) -> None:
        """Learn from a batch without gradients, after it was quantized."""

    @abstractmethod
    def _place(self, which: Bool[Tensor, "k"], vectors: Float[Tensor, "m d"]) -> None:
        """Put the chosen codes at new vectors, forgetting what they had learned."""

    def _rows(self, latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "n d"]:
        rows = to_rows(latents, self.dim)
        return F.normalize(rows, dim=1) if self.l2_normalise else rows

    def _vectors(self) -> Float[Tensor, "k d"]:
        return F.normalize(self.codebook, dim=1) if self.l2_normalise else self.codebook

    @torch.no_grad()
    def _start(self, rows: Float[Tensor, "n d"]) -> None:
        if self.started:
            return
        samples = gather_rows(_sample(rows, min(len(rows), KMEANS_SAMPLES_PER_CODE * self.codebook_size)))
        centres = from_first_process(kmeans(samples, self.codebook_size))
        self._place(torch.ones_like(self.usage, dtype=torch.bool), centres)
        self.started.fill_(True)

    @torch.no_grad()
    def _restart_dead(self, rows: Float[Tensor, "n d"], codes: Int[Tensor, "n"]) -> None:
        if not self.restart_below:
            return
        counts = sum_over_processes(torch.bincount(codes, minlength=self.codebook_size).float())
        self.usage.mul_(self.usage_decay).add_(counts / counts.sum(), alpha=1 - self.usage_decay)
        dead = self.usage < self.restart_below / self.codebook_size
        if not dead.any():
            return
        wanted = int(dead.sum())
        # Latents far from their code are the likelier to get one of their own, as in k-means++: images have large plain
        # areas, and a latent taken evenly would most often repeat the code of the background.
        errors = (rows - self._vectors()[codes]).square().sum(1)
        candidates = gather_rows(_sample(rows, wanted, errors))
        self._place(dead, from_first_process(_sample(candidates, wanted)))
        self.usage[dead] = 1 / self.codebook_size


def _sample(rows: Float[Tensor, "n d"], count: int, weights: Float[Tensor, "n"] | None = None) -> Float[Tensor, "m d"]:
    """Random rows, each at most once where there are enough; the likelier the greater its weight."""
    # The largest log(weight) + Gumbel noise: weighted sampling without replacement for any number of rows.
    keys = -torch.empty(len(rows), device=rows.device).exponential_().log()
    if weights is not None:
        keys += (weights + 1e-12).log()
    order = keys.argsort(descending=True)
    return rows[order.repeat(-(-count // len(rows)))[:count]]
