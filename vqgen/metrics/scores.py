"""One number per image that says how well it is drawn, or how well it fits what was asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.metrics.bound import likelihood_bound
from vqgen.metrics.likelihood import likelihood
from vqgen.prior import MaskedPrior, Prior

Scorer = Callable[[Float[Tensor, "b c H W"], Sequence[int | str] | Int[Tensor, "b ..."] | None], Tensor]
"""Scores (b,) of images (b, c, H, W) in [-1, 1] and of what was asked for, one of it for each; higher is better.

Any model that compares images with texts will do. CLIP, as the package transformers has it, re-ranks as DALL-E does
(Ramesh et al., 2102.12092, section 2.6)::

    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(FOLDER_OR_NAME).eval()
    processor = CLIPProcessor.from_pretrained(FOLDER_OR_NAME)

    @torch.no_grad()
    def clip_scorer(images, prompts):
        pictures = [((image + 1) * 127.5).round().to(torch.uint8) for image in images]
        found = model(**processor(text=list(prompts), images=pictures, return_tensors="pt", padding=True))
        return found.logits_per_image.diagonal()

    pipeline.generate(4, "red apple", best_of=16, scorer=clip_scorer)
"""

SCORES = ("information", "likelihood")
"""Names of the scores that a prior itself gives."""


def log_likelihoods(
    prior: Prior | MaskedPrior,
    codes: Int[Tensor, "b h w"],
    condition: Int[Tensor, "b ..."] | None = None,
    *,
    positions: Int[Tensor, " n"] | None = None,
    batch_size: int = 64,
) -> Float[Tensor, " b"]:
    """Log-likelihood of whole code grids, ``log p(codes | condition)``.

    Args:
        prior: the prior; a masked one gives a bound, the same partly hidden views for every condition.
        codes: (b, h, w) int64.
        condition: (b, ...) int64 as the prior takes it, or None.
        positions: (n,) the order to score in; None for raster, and for a masked prior, which has none.
        batch_size: how many are scored at a time.

    Returns:
        (b,) nats, float64, on the prior's device.

    Example:
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)  # untrained: log(16) nats per code
        >>> log_likelihoods(prior, torch.randint(16, (2, 2, 3))).round(decimals=2)
        tensor([-16.6400, -16.6400], dtype=torch.float64)
    """
    device = next(prior.parameters()).device
    visited = torch.arange(prior.height * prior.width) if positions is None else positions
    visited, found = visited.to(device), []
    for start in range(0, len(codes), batch_size):
        chunk = codes[start : start + batch_size].to(device)
        told = None if condition is None else condition[start : start + batch_size].to(device)
        if isinstance(prior, MaskedPrior):
            cells = prior.height * prior.width
            nats = likelihood_bound(prior, chunk, told, downsampling=1, passes=min(32, cells)).nats
        else:
            nats = likelihood(prior, chunk.flatten(1)[:, visited], visited, told, downsampling=1).nats
        found.append(-nats.sum(dim=(1, 2)))
    return torch.cat(found).double()


def information(
    prior: Prior | MaskedPrior,
    codes: Int[Tensor, "b h w"],
    condition: Int[Tensor, "b ..."],
    *,
    positions: Int[Tensor, " n"] | None = None,
    batch_size: int = 64,
) -> Float[Tensor, " b"]:
    """How much likelier the condition makes the codes: pointwise mutual information.

    ``log p(codes | condition) - log p(codes)``, which is also ``log p(condition | codes) - log p(condition)``: how much
    the image says of the condition. The likelihood alone prefers images that are simple whatever was asked for.

    Args:
        prior: trained with conditions hidden at times, so that it knows ``p(codes)`` too.
        codes: (b, h, w) int64.
        condition: (b, ...) int64 as the prior takes it.
        positions: as in `log_likelihoods`.
        batch_size: as in `log_likelihoods`.

    Returns:
        (b,) nats, float64, on the prior's device.

    Example:
        >>> prior = Prior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)  # untrained: knows no class
        >>> information(prior, torch.randint(16, (2, 2, 3)), torch.tensor([0, 3])).tolist()
        [0.0, 0.0]

    Source: Church and Hanks, Word association norms, mutual information, and lexicography (1990), section 2.
    """
    options: dict[str, Any] = {"positions": positions, "batch_size": batch_size}
    return log_likelihoods(prior, codes, condition, **options) - log_likelihoods(prior, codes, None, **options)
