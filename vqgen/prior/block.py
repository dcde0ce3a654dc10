"""One layer of the prior: self-attention, then a feed-forward, each added to what came in."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import Attention, DenseAttention, LayerCache, Linear, Memory, Reach
from vqgen.prior.cross_attention import CrossAttention
from vqgen.prior.dropout import Dropout
from vqgen.prior.reversible import Branch
from vqgen.prior.signals import Rotation
from vqgen.prior.style import Style


class SelfAttention(nn.Module):
    """Causal self-attention over the steps of a sequence, whole or one part at a time on top of a cache.

    Args:
        dim: width of the prior, d.
        heads: number of heads; divides d.
        style: see `STYLES`.
        attention: how queries meet keys, as its `layer` made it for this layer; dense when None.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> SelfAttention(8, heads=2, style=STYLES["llama"])(torch.zeros(2, 3, 8), None, None).shape
        torch.Size([2, 3, 8])

    Source: query-key normalisation, Dehghani et al., Scaling Vision Transformers to 22 Billion Parameters (2302.05442),
    section 2: LayerNorm, here without learned gains (on the CPU it takes a third of the time of RMSNorm).
    """

    def __init__(self, dim: int, heads: int, *, style: Style, attention: Attention | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_norm = style.query_key_norm
        self.attend = DenseAttention() if attention is None else attention
        self.projections = 2 if self.attend.shared_query_key else 3
        self.query_key_value = Linear(dim, self.projections * dim, bias=style.bias)
        self.output = Linear(dim, dim, bias=style.bias)

    def forward(
        self,
        hidden: Float[Tensor, "b m d"],
        rotation: Rotation | None,
        cache: LayerCache | None,
        reach: Reach | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Mix each step with the steps before it.

        Args:
            hidden: (b, m, d) normalised hidden states of the newest m steps.
            rotation: turns the queries and keys of these steps, or None.
            cache: holds the steps before these and takes these in, or None when there are none before.
            reach: what the attention made of the places of these steps; None for steps that follow each other densely.

        Returns:
            (b, m, d) what to add to the hidden states.
        """
        query, keys, values = self.project(hidden, rotation)
        if cache is not None:
            keys, values = cache.append(keys, values)
        if self.attend.remembers and cache is None and torch.is_grad_enabled():
            # The same numbers again: here a gradient reaches the weights alone.
            heads = self.attend(query, keys, values, reach, held=self.project(hidden.detach(), rotation)[1:])
        else:
            heads = self.attend(query, keys, values, reach)
        output: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return output

    def project(
        self, hidden: Float[Tensor, "b m d"], rotation: Rotation | None
    ) -> tuple[Float[Tensor, "b heads m e"], Float[Tensor, "b heads m e"], Float[Tensor, "b heads m e"]]:
        """Make queries, keys and values of rows; see `forward`."""
        batch, count, dim = hidden.shape
        mixed = self.query_key_value(hidden).view(batch, count, self.projections, self.heads, dim // self.heads)
        # Split, not sliced twice: gradients of the parts are then put side by side, not added up among zeros.
        query_key, values = mixed.split((self.projections - 1, 1), dim=2)
        if self.projections == 2:
            query_key = query_key.expand(-1, -1, 2, -1, -1)
        if self.query_key_norm:
            query_key = F.layer_norm(query_key, query_key.shape[-1:], eps=1e-6)
        if rotation is not None:
            query_key = rotation.rotate(query_key)
        query, keys = query_key.permute(2, 0, 3, 1, 4)  # (b, m, 2, heads, e) -> 2 of (b, heads, m, e)
        return query, keys, values.squeeze(2).transpose(1, 2)


class Block(nn.Module):
    """A pre-norm Transformer block: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    With a memory, ``x + cross_attention(norm(x), memory)`` comes between the two.

    Args:
        dim: width of the prior, d.
        heads: number of attention heads; divides d.
        style: see `STYLES`.
        dropout: probability, in training mode, of dropping a feature of what is added. Attention weights are never
            dropped, which would forbid the fused kernels.
        memory: whether the layer looks at a memory besides.
        attention: how queries meet keys, as its `layer` made it for this layer; dense when None.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> Block(8, heads=2, style=STYLES["gpt"])(torch.zeros(2, 3, 8), None, None).shape
        torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        style: Style,
        dropout: float = 0.0,
        memory: bool = False,
        attention: Attention | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm = style.norm(dim)
        self.attention = SelfAttention(dim, heads, style=style, attention=attention)
        self.cross_attention_norm = style.norm(dim) if memory else None
        self.cross_attention = CrossAttention(dim, heads, style=style) if memory else None
        self.feed_forward_norm = style.norm(dim)
        self.feed_forward = style.feed_forward(dim)
        self.residual_dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Float[Tensor, "b m d"],
        rotation: Rotation | None,
        cache: LayerCache | None,
        reach: Reach | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Carry the newest m steps through the layer.

        Args:
            hidden: (b, m, d) hidden states.
            rotation: turns the queries and keys of these steps, or None.
            cache: this layer's, or None when there are no steps before these.
            reach: what the attention made of the places of these steps; None for steps that follow each other densely.
            memory: what `CrossAttention.remember` made for this layer; needed where the layer has one.

        Returns:
            (b, m, d) hidden states.
        """
        hidden = hidden + self.attended(hidden, rotation, cache, reach)
        return hidden + self.fed(hidden, memory)

    def attended(
        self, hidden: Float[Tensor, "b m d"], rotation: Rotation | None, cache: LayerCache | None, reach: Reach | None
    ) -> Float[Tensor, "b m d"]:
        """What attention adds to hidden states; see `forward`."""
        added: Tensor = self.residual_dropout(self.attention(self.attention_norm(hidden), rotation, cache, reach))
        return added

    def fed(self, hidden: Float[Tensor, "b m d"], memory: Memory | None) -> Float[Tensor, "b m d"]:
        """What the memory, if the layer has one, and then the feed-forward add to hidden states; see `forward`."""
        if self.cross_attention is None or self.cross_attention_norm is None:
            added: Tensor = self.residual_dropout(self.feed_forward(self.feed_forward_norm(hidden)))
            return added
        assert memory is not None
        read: Tensor = self.residual_dropout(self.cross_attention(self.cross_attention_norm(hidden), memory))
        return read + self.residual_dropout(self.feed_forward(self.feed_forward_norm(hidden + read)))

    def halves(
        self, rotation: Rotation | None, cache: LayerCache | None, reach: Reach | None, memory: Memory | None
    ) -> tuple[Branch, Branch]:
        """The two things that the layer adds, for `run_reversibly`; the arguments are those of `forward`."""
        first: tuple[Tensor, ...] = ()
        second: tuple[Tensor, ...] = ()
        if torch.is_grad_enabled():
            first = (*self.attention_norm.parameters(), *self.attention.parameters())
            mine = {id(parameter) for parameter in first}
            second = tuple([parameter for parameter in self.parameters() if id(parameter) not in mine])
            second += () if memory is None else (memory.keys, memory.values)
        return (
            Branch(lambda stream: self.attended(stream, rotation, cache, reach), first),
            Branch(lambda stream: self.fed(stream, memory), second),
        )
