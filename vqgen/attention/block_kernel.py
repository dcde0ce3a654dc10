"""Attention of blocks of queries to the keys they meet, forwards and backwards, as parts of a larger softmax."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NOT_SEEN = -1e30
"""Score of a pair that does not meet: finite, so that a query that meets no key of a part weighs nothing in it."""


def attend_block(
    query: Float[Tensor, "g heads q e"],
    keys: Float[Tensor, "g heads u e"],
    values: Float[Tensor, "g heads u e"],
    seen: Bool[Tensor, "g q u"],
) -> tuple[Float[Tensor, "g heads q e"], Float[Tensor, "g heads q"]]:
    """Mix the values of each block's keys.

    Args:
        query: (g, heads, q, e) queries of g blocks.
        keys: (g, heads, u, e) keys that each block meets.
        values: (g, heads, u, e) their values.
        seen: (g, q, u) which pairs meet.

    Returns:
        (g, heads, q, e) mixtures, anything where a query meets no key, and (g, heads, q) logarithms of the sums of
        exponentials, very low there.

    Example:
        >>> mixed, log_sum = attend_block(*(torch.ones(1, 1, 2, 4),) * 3, torch.tensor([[[True, True], [True, False]]]))
        >>> [round(each, 2) for each in log_sum.flatten().tolist()]  # 2 + log 2, and 2
        [2.69, 2.0]
    """
    if fused_on(query.device):
        found: tuple[Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, keys, values, attn_mask=_scores(seen, query.dtype)
        )
        return found
    scores = _masked_scores(query, keys, seen)
    log_sum = scores.logsumexp(-1)
    return scores.sub_(log_sum[..., None]).exp_().to(query.dtype) @ values, log_sum


def block_gradients(
    query: Float[Tensor, "g heads q e"],
    keys: Float[Tensor, "g heads u e"],
    values: Float[Tensor, "g heads u e"],
    out: Float[Tensor, "g heads q e"],
    gradient: Float[Tensor, "g heads q e"],
    log_sum: Float[Tensor, "g heads q"],
    seen: Bool[Tensor, "g q u"],
) -> tuple[Float[Tensor, "g heads q e"], Float[Tensor, "g heads u e"], Float[Tensor, "g heads u e"]]:
    """What the pairs of these blocks contribute to the gradients.

    With ``p = exp(s - l)`` of the whole softmax: ``dv = p^T do``, ``ds = p * (do v^T - sum(do * o))``, ``dq = ds k``
    and ``dk = ds^T q``, both over sqrt(e).

    Args:
        query: (g, heads, q, e) queries of g blocks.
        keys: (g, heads, u, e) keys that each block meets.
        values: (g, heads, u, e) their values.
        out: (g, heads, q, e) the final mixtures, over all parts.
        gradient: (g, heads, q, e) their gradient.
        log_sum: (g, heads, q) logarithms of the sums of exponentials, over all parts.
        seen: (g, q, u) which pairs meet.

    Returns:
        Gradients of the queries, keys and values.

    Source: Dao et al., FlashAttention (2205.14135), appendix B.4.
    """
    if fused_on(query.device):
        parts: tuple[Tensor, Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            gradient, query, keys, values, out, log_sum, 0.0, False, attn_mask=_scores(seen, query.dtype)
        )
        return parts
    dtype = query.dtype
    weights = _masked_scores(query, keys, seen).sub_(log_sum[..., None]).exp_()
    by_value = weights.to(dtype).transpose(-1, -2) @ gradient
    share = (gradient.to(weights.dtype) * out.to(weights.dtype)).sum(-1, keepdim=True)
    by_score = (gradient @ values.transpose(-1, -2)).to(weights.dtype).sub_(share).mul_(weights)
    by_score = by_score.mul_(query.shape[-1] ** -0.5).to(dtype)
    return by_score @ keys, by_score.transpose(-1, -2) @ query, by_value


def fused_on(device: torch.device) -> bool:
    """Whether PyTorch has a fused kernel there that tells the sums of exponentials and takes those of a whole.

    Args:
        device: of the queries.

    Returns:
        True on a CPU.

    Example:
        >>> fused_on(torch.device("cpu"))
        True
    """
    return device.type == "cpu"


def _scores(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """(g, q, u) -> (g, 1, q, u) to add to scores."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, NOT_SEEN)[:, None]


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The precision in which exponentials are summed."""
    return dtype if dtype == torch.float64 else torch.float32


def _masked_scores(query: Tensor, keys: Tensor, seen: Tensor) -> Tensor:
    scores = (query @ keys.transpose(-1, -2)).to(_wide(query.dtype)) * query.shape[-1] ** -0.5
    return scores.masked_fill_(~seen[:, None], NOT_SEEN)
