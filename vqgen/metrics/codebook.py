"""How much of a codebook is in use."""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torchmetrics import Metric


@dataclass(frozen=True)
class CodebookUse:
    """How often codes occur, summed up.

    Attributes:
        used: how many codes occur at all.
        share: `used / k`, in (0, 1].
        dead: codes that never occur, `k - used`.
        perplexity: `exp(entropy)` of the code distribution, in [1, k]; k when all codes are equally frequent.
    """

    used: int
    share: float
    dead: int
    perplexity: float


def codebook_use(counts: Shaped[Tensor, " k"]) -> CodebookUse:
    """Sum up how often each code occurred.

    Args:
        counts: (k,) occurrences, >= 0, not all zero.

    Returns:
        The summary.

    Raises:
        ValueError: if nothing was counted.

    Example:
        >>> codebook_use(torch.tensor([2, 2, 0, 0]))
        CodebookUse(used=2, share=0.5, dead=2, perplexity=2.0)
    """
    total = counts.sum()
    if total <= 0:
        raise ValueError("expected at least one code to be counted, got none; count codes before summing up")
    shares = counts.double() / total
    entropy = -torch.special.xlogy(shares, shares).sum()
    used = int((counts > 0).sum())
    return CodebookUse(
        used=used, share=used / len(counts), dead=len(counts) - used, perplexity=round(entropy.exp().item(), 6)
    )


class CodebookUsage(Metric):
    """Counts codes over batches and processes; `compute` gives the counts, `codebook_use` sums them up.

    Args:
        codebook_size: number of codes, k.

    Example:
        >>> usage = CodebookUsage(codebook_size=4)
        >>> usage.update(torch.tensor([[[0, 1], [1, 0]]]))
        >>> codebook_use(usage.compute()).share
        0.5
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, codebook_size: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.add_state("counts", default=torch.zeros(codebook_size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, codes: Int[Tensor, "b h w"]) -> None:
        """Count the codes of a batch."""
        self.counts += torch.bincount(codes.flatten(), minlength=self.codebook_size)

    def compute(self) -> Int[Tensor, " k"]:
        """Occurrences of each code, (k,)."""
        return self.counts
