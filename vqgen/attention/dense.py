"""Dense causal attention, the reference that every other attention is compared with."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

FEW_QUERIES = 16
"""Up to so many queries, GPUs compute the masked softmax sooner in plain steps than in a fused kernel, which gives each
head to one block of threads that walks all keys."""


def dense_causal_attention(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads t e"],
    values: Float[Tensor, "b heads t e"],
    visible: Bool[Tensor, "m t"] | None = None,
) -> Float[Tensor, "b heads m e"]:
    """Let each of the last m steps attend to itself and to all steps before it.

    Query i stands at step ``t - m + i`` and computes ``softmax(q k^T / sqrt(e)) v`` over the steps up to its own. With
    ``m = t`` that is the training pass, with ``m = 1`` one step of sampling, and in between a prefix of several steps
    on top of a cache.

    Args:
        query: (b, heads, m, e) queries of the newest m steps.
        keys: (b, heads, t, e) keys of all t >= m steps so far, in visiting order.
        values: (b, heads, t, e) values of the same steps.
        visible: (m, t) which keys each query sees instead, at least one; None for all up to its own step.

    Returns:
        (b, heads, m, e) one mixture of values per query.

    Raises:
        ValueError: when there are more queries than keys.

    Example:
        >>> import torch
        >>> values = torch.arange(3.0).reshape(1, 1, 3, 1)
        >>> dense_causal_attention(torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1), values).flatten()  # running means
        tensor([0.0000, 0.5000, 1.0000])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.2.1.
    """
    queries, steps = query.shape[2], keys.shape[2]
    if queries > steps:
        raise ValueError(
            f"expected at least as many keys as queries, got {queries} queries and {steps} keys; "
            "pass the keys of the new steps together with the cached ones"
        )
    if visible is not None:
        if query.is_cuda and queries <= FEW_QUERIES and not query.requires_grad:
            return _few_queries(query, keys, values, visible)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
    if queries == steps:
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True)
    if queries == 1:  # the newest step sees everything: no mask to build or read
        return F.scaled_dot_product_attention(query, keys, values)
    visible = torch.ones(queries, steps, dtype=torch.bool, device=query.device).tril(diagonal=steps - queries)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=visible)


def _few_queries(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads t e"],
    values: Float[Tensor, "b heads t e"],
    visible: Bool[Tensor, "m t"],
) -> Float[Tensor, "b heads m e"]:
    flat = query.flatten(0, 1)
    scores = torch.baddbmm(  # the first argument counts for nothing: the scale comes free with the product
        flat.new_empty(1, 1, 1), flat, keys.flatten(0, 1).transpose(1, 2), beta=0.0, alpha=query.shape[-1] ** -0.5
    )
    weights = torch.where(visible, scores, -torch.inf).softmax(dim=-1)
    return torch.bmm(weights, values.flatten(0, 1)).view_as(query)
