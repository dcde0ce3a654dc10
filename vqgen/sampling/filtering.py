"""From logits to codes: temperature, top-k, top-p, and the draw itself."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def filter_logits(
    logits: Float[Tensor, "*batch k"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "*batch k"]:
    """Sharpen or flatten a distribution, and cut off its unlikely codes.

    In this order: divide by the temperature; keep the ``top_k`` most likely codes; of those, keep the smallest set of
    most likely codes that holds at least ``top_p`` of the probability they have together. Codes as likely as the last
    one kept are kept too, so that the result does not depend on how ties are sorted.

    Args:
        logits: (..., k) unnormalised log-probabilities.
        temperature: > 0; below 1 sharpens, above 1 flattens. 0 keeps the most likely code only, the
            first of them in a tie.
        top_k: number of codes to keep, >= 1; all of them when None or at least k.
        top_p: share of the probability to keep, in (0, 1]; all of it when None or 1.

    Returns:
        (..., k) logits, minus infinity where a code was cut off.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> filter_logits(torch.tensor([[2.0, 1.0, 0.0, 3.0]]), top_k=2)
        tensor([[2., -inf, -inf, 3.]])

    Source: top-k, Fan et al. (1805.04833), section 5; top-p, Holtzman et al., The Curious Case of Neural Text
    Degeneration (1904.09751).
    """
    check_filters(temperature=temperature, top_k=top_k, top_p=top_p)
    if temperature == 0.0:
        return torch.full_like(logits, -torch.inf).scatter(-1, logits.argmax(dim=-1, keepdim=True), 0.0)
    if temperature != 1.0:
        logits = logits / temperature
    codes = logits.shape[-1]
    kept = codes if top_k is None else min(top_k, codes)
    if top_p is None or top_p == 1.0:
        if kept == codes:
            return logits
        threshold = logits.topk(kept, dim=-1).values[..., -1:]
    else:
        # What top-k finds comes sorted already, which spares the sort of the whole codebook.
        ranked = logits.topk(kept, dim=-1).values if kept < codes else logits.sort(dim=-1, descending=True).values
        probabilities = ranked.softmax(dim=-1)
        before = (
            probabilities.cumsum(dim=-1) - probabilities
        )  # the likeliest code has nothing before it: it always stays
        last = (before < top_p).sum(dim=-1, keepdim=True) - 1
        threshold = ranked.gather(-1, last)
    return logits.masked_fill(logits < threshold, -torch.inf)


def draw_codes(logits: Float[Tensor, "*batch k"], uniforms: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """Draw one code per distribution by inverting its cumulative distribution at a given uniform number.

    The code is the first whose cumulative probability exceeds the number. The sums run row by row in the precision of
    the numbers (float64 on the CPU), so a row's code depends on that row alone, and a code of probability 0 is never
    drawn.

    Args:
        logits: (..., k) unnormalised log-probabilities; minus infinity forbids a code.
        uniforms: (...) numbers in [0, 1).

    Returns:
        (...) int64 codes.

    Example:
        >>> import torch
        >>> draw_codes(torch.tensor([[0.0, -torch.inf, 0.0]] * 2), torch.tensor([0.4, 0.6]))
        tensor([0, 2])
    """
    cumulative = logits.to(uniforms.dtype).softmax(dim=-1).cumsum(dim=-1)
    # Relative to the total, which rounding leaves a little off 1. The clamp is for rows of NaN, which the caller
    # reports.
    found = torch.searchsorted(cumulative, uniforms[..., None] * cumulative[..., -1:], right=True)
    return found[..., 0].clamp_max(logits.shape[-1] - 1)


def check_filters(*, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Refuse filters that make no sense.

    Args:
        temperature: must be >= 0.
        top_k: must be >= 1 or None.
        top_p: must be in (0, 1] or None.

    Raises:
        ValueError: naming the filter.

    Example:
        >>> check_filters(temperature=1.0, top_k=0, top_p=None)
        Traceback (most recent call last):
        ...
        ValueError: top_k must be >= 1, got 0; pass None to keep every code
    """
    if not 0.0 <= temperature < float("inf"):
        raise ValueError(
            f"temperature must be >= 0 and finite, got {temperature}; 0 takes the most likely code, 1 samples"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be >= 1, got {top_k}; pass None to keep every code")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}; pass None to keep every code")
