"""Dense causal attention, the reference that every other attention is compared with."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

FEW_QUERIES = 16
"""Up to so many queries, GPUs compute the masked softmax sooner in plain steps than in a fused kernel, which gives each
head to one block of threads that walks all keys."""

FEW_KEYS = 512
"""Up to so many keys, training in bf16 on a CPU is faster in plain steps; beyond, the scores outgrow the caches."""


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
    if plain_steps_are_faster(query, steps, masked=visible is not None):
        return _in_plain_steps(query, keys, values, _causal(query, steps) if visible is None else visible)
    if visible is not None:
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
    if queries == steps:
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True)
    if queries == 1:  # the newest step sees everything: no mask to build or read
        return F.scaled_dot_product_attention(query, keys, values)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=_causal(query, steps))


def plain_steps_are_faster(query: Float[Tensor, "b heads m e"], steps: int, *, masked: bool) -> bool:
    """Whether two products and a softmax take less time than a fused kernel: the one place that chooses, as measured.

    They do for a few masked queries on a GPU, and for training in bf16 on a CPU, where the fused kernel's backward pass
    is slower in bf16 than in fp32; the scores are then kept for the backward pass, in bf16. In fp32, and without
    gradients, the fused kernel is as fast or faster everywhere. Figures are in NOTES.md.

    Args:
        query: (b, heads, m, e).
        steps: t, number of keys.
        masked: whether a mask says what each query sees.

    Returns:
        Whether to take plain steps.

    Example:
        >>> import torch
        >>> query = torch.zeros(1, 1, 8, 4, requires_grad=True)
        >>> plain_steps_are_faster(query, 8, masked=False), plain_steps_are_faster(query.bfloat16(), 8, masked=False)
        (False, True)
    """
    training = query.requires_grad and torch.is_grad_enabled()
    if query.is_cuda:
        return masked and not training and query.shape[2] <= FEW_QUERIES
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and training and steps <= FEW_KEYS


def _causal(query: Float[Tensor, "b heads m e"], steps: int) -> Bool[Tensor, "m t"]:
    """Which of t keys each of the newest m steps sees: those up to its own."""
    queries = query.shape[2]
    return torch.ones(queries, steps, dtype=torch.bool, device=query.device).tril(diagonal=steps - queries)


def _in_plain_steps(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads t e"],
    values: Float[Tensor, "b heads t e"],
    visible: Bool[Tensor, "m t"],
) -> Float[Tensor, "b heads m e"]:
    flat, transposed, scale = query.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2), query.shape[-1] ** -0.5
    if query.requires_grad:  # a mask that is added costs the backward pass nothing
        hidden = query.new_zeros(visible.shape).masked_fill_(~visible, -torch.inf)
        scores = torch.baddbmm(hidden, flat, transposed, alpha=scale)
    else:  # the first argument counts for nothing: the scale comes free with the product
        scores = torch.baddbmm(flat.new_empty(1, 1, 1), flat, transposed, beta=0.0, alpha=scale)
        scores = torch.where(visible, scores, -torch.inf)
    return torch.bmm(scores.softmax(dim=-1), values.flatten(0, 1)).view_as(query)
