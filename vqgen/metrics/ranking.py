"""Does a prior know which image a caption belongs to? The rank of the true one among others."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.metrics.scores import log_likelihoods
from vqgen.prior import MaskedPrior, Prior


@dataclass(frozen=True)
class Ranking:
    """Where the true pairs came among others.

    Attributes:
        ranks: (m,) from 1, the best, to the number of candidates; ties count half.
        candidates: how many each was ranked among, itself included.
    """

    ranks: Float[Tensor, " m"]
    candidates: int

    @property
    def mean(self) -> float:
        """Mean rank."""
        return float(self.ranks.mean())

    @property
    def chance(self) -> float:
        """Mean rank of guessing."""
        return (self.candidates + 1) / 2

    @property
    def first(self) -> float:
        """Share of true pairs that came first."""
        return float((self.ranks < 1.5).double().mean())

    def interval(self, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0) -> tuple[float, float]:
        """Where the mean rank lies, over captions: a percentile bootstrap.

        Args:
            confidence: in (0, 1).
            resamples: of the ranks, with replacement.
            seed: of the resampling.

        Returns:
            Lower and upper end.

        Example:
            >>> Ranking(torch.tensor([1.0, 1.0, 4.0, 2.0]), candidates=4).interval()
            (1.0, 3.25)
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.ranks), (resamples, len(self.ranks)), generator=generator)
        means = self.ranks[chosen].mean(dim=1)
        tail = (1.0 - confidence) / 2
        low, high = means.quantile(torch.tensor([tail, 1.0 - tail], dtype=means.dtype)).tolist()
        return low, high


def rank_captions(
    prior: Prior | MaskedPrior,
    codes: Int[Tensor, "m h w"],
    captions: Int[Tensor, "m ..."],
    *,
    by: str = "information",
    candidates: int = 32,
    positions: Int[Tensor, " n"] | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> Ranking:
    """Rank each caption's own image among others by how likely the caption makes them, or each image's own caption.

    - ``information``: images x by ``log p(x | caption) - log p(x)``, what the caption adds.
    - ``likelihood``: images x by ``log p(x | caption)``. How likely an image is anyway decides much of it.
    - ``caption``: captions c by ``log p(image | c)``, the posterior over captions that are equally likely before.

    Args:
        prior: trained with captions, hidden at times.
        codes: (m, h, w) int64 of m images, of the tokenizer the prior was trained on.
        captions: (m, ...) int64, the caption of each, as the prior takes it.
        by: ``information``, ``likelihood`` or ``caption``, as above.
        candidates: how many the true one is among, from 2 to m; the others are drawn for each.
        positions: (n,) the order to score in; None for raster, and for a masked prior.
        seed: of the candidates.
        batch_size: pairs scored at a time.

    Returns:
        The ranks, m of them.

    Raises:
        ValueError: if there are fewer images than candidates, or not one caption for each.

    Example:
        >>> prior = Prior(16, height=2, width=3, num_classes=8, dim=8, depth=1, heads=1)  # untrained: all alike
        >>> ranking = rank_captions(prior, torch.randint(16, (8, 2, 3)), torch.arange(8), candidates=4)
        >>> ranking.mean, ranking.chance
        (2.5, 2.5)
    """
    count = len(codes)
    if len(captions) != count or not 2 <= candidates <= count:
        raise ValueError(
            f"expected as many captions as images and from 2 to {count} candidates, got {len(captions)} captions, "
            f"{count} images and candidates={candidates}"
        )
    if by not in ("information", "likelihood", "caption"):
        raise ValueError(f"by must be information, likelihood or caption, got {by!r}")
    generator = torch.Generator().manual_seed(seed)
    others = torch.stack([torch.randperm(count - 1, generator=generator)[: candidates - 1] for _ in range(count)])
    own = torch.arange(count)[:, None]
    chosen = torch.cat((own, others + (others >= own)), dim=1)  # (m, candidates), the true one first
    images, told = (own.expand_as(chosen), chosen) if by == "caption" else (chosen, own.expand_as(chosen))
    options: dict[str, Any] = {"positions": positions, "batch_size": batch_size}
    scores = log_likelihoods(prior, codes[images.flatten()], captions[told.flatten()], **options).cpu()
    if by == "information":
        scores = scores - log_likelihoods(prior, codes, None, **options).cpu()[images.flatten()]
    scores = scores.view_as(chosen)
    true, rest = scores[:, :1], scores[:, 1:]
    # Rounding must not tell apart what a prior that knows nothing holds for equal.
    close = (rest - true).abs() < 1e-6 * true.abs().clamp_min(1.0)
    better = (rest > true) & ~close
    ranks = 1.0 + better.double().sum(dim=1) + 0.5 * close.double().sum(dim=1)
    assert not math.isnan(float(ranks.sum()))
    return Ranking(ranks, candidates)
