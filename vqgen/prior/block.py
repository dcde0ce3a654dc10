"""One layer of the prior: self-attention, then a feed-forward, each added to what came in."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import LayerCache, dense_causal_attention
from vqgen.prior.dropout import Dropout
from vqgen.prior.signals import Rotation
from vqgen.prior.style import Style


class SelfAttention(nn.Module):
    """Causal self-attention over the steps of a sequence, whole or one part at a time on top of a cache.

    Args:
        dim: width of the prior, d.
        heads: number of heads; divides d.
        style: see `STYLES`.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> SelfAttention(8, heads=2, style=STYLES["llama"])(torch.zeros(2, 3, 8), None, None).shape
        torch.Size([2, 3, 8])

    Source: query-key normalisation, Dehghani et al., Scaling Vision Transformers to 22 Billion Parameters (2302.05442),
    section 2: LayerNorm, here without learned gains (on the CPU it takes a third of the time of RMSNorm).
    """

    def __init__(self, dim: int, heads: int, *, style: Style) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_norm = style.query_key_norm
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=style.bias)
        self.output = nn.Linear(dim, dim, bias=style.bias)

    def forward(
        self,
        hidden: Float[Tensor, "b m d"],
        rotation: Rotation | None,
        cache: LayerCache | None,
        visible: Bool[Tensor, "m t"] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Mix each step with the steps before it.

        Args:
            hidden: (b, m, d) normalised hidden states of the newest m steps.
            rotation: turns the queries and keys of these steps, or None.
            cache: holds the steps before these and takes these in, or None when there are none before.
            visible: (m, t) which of all t steps each of these sees, where that is not itself and those before it.

        Returns:
            (b, m, d) what to add to the hidden states.
        """
        batch, count, dim = hidden.shape
        mixed = self.query_key_value(hidden).view(batch, count, 3, self.heads, dim // self.heads)
        query_key = mixed[:, :, :2]
        if self.query_key_norm:
            query_key = F.layer_norm(query_key, query_key.shape[-1:], eps=1e-6)
        if rotation is not None:
            query_key = rotation.rotate(query_key)
        query, keys = query_key.permute(2, 0, 3, 1, 4)  # (b, m, 2, heads, e) -> 2 of (b, heads, m, e)
        values = mixed[:, :, 2].transpose(1, 2)
        if cache is not None:
            keys, values = cache.append(keys, values)
        heads = dense_causal_attention(query, keys, values, visible)
        output: Tensor = self.output(heads.transpose(1, 2).reshape(batch, count, dim))
        return output


class Block(nn.Module):
    """A pre-norm Transformer block: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    Args:
        dim: width of the prior, d.
        heads: number of attention heads; divides d.
        style: see `STYLES`.
        dropout: probability, in training mode, of dropping a feature of what is added. Attention weights are never
            dropped, which would forbid the fused kernels.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> Block(8, heads=2, style=STYLES["gpt"])(torch.zeros(2, 3, 8), None, None).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, dim: int, heads: int, *, style: Style, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = style.norm(dim)
        self.attention = SelfAttention(dim, heads, style=style)
        self.feed_forward_norm = style.norm(dim)
        self.feed_forward = style.feed_forward(dim)
        self.residual_dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Float[Tensor, "b m d"],
        rotation: Rotation | None,
        cache: LayerCache | None,
        visible: Bool[Tensor, "m t"] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Carry the newest m steps through the layer.

        Args:
            hidden: (b, m, d) hidden states.
            rotation: turns the queries and keys of these steps, or None.
            cache: this layer's, or None when there are no steps before these.
            visible: (m, t) which of all t steps each of these sees, where that is not itself and those before it.

        Returns:
            (b, m, d) hidden states.
        """
        hidden = hidden + self.residual_dropout(self.attention(self.attention_norm(hidden), rotation, cache, visible))
        return hidden + self.residual_dropout(self.feed_forward(self.feed_forward_norm(hidden)))
