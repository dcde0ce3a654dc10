"""The two families of Transformer block."""

from dataclasses import dataclass

from torch import nn

from vqgen.prior.feed_forward import GeluFeedForward, SwiGLUFeedForward
from vqgen.prior.root_mean_square import RMSNorm


@dataclass(frozen=True)
class Style:
    """What tells one family of blocks from the other.

    Attributes:
        norm: class of the normalisations, built with the width.
        feed_forward: class of the position-wise half, built with the width.
        query_key_norm: whether each head's queries and keys are normalised before they meet, which bounds the scores.
        bias: whether the linear layers of attention have a bias.
    """

    norm: type[nn.LayerNorm] | type[RMSNorm]
    feed_forward: type[GeluFeedForward] | type[SwiGLUFeedForward]
    query_key_norm: bool
    bias: bool


STYLES: dict[str, Style] = {
    "gpt": Style(norm=nn.LayerNorm, feed_forward=GeluFeedForward, query_key_norm=False, bias=True),
    "llama": Style(norm=RMSNorm, feed_forward=SwiGLUFeedForward, query_key_norm=True, bias=False),
}
"""Styles by the name a configuration uses: GPT-2's block, and Llama's with query-key normalisation."""
