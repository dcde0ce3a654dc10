"""Text by an encoder: the caption is read by a transformer of its own, which the prior looks at in every block."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.conditioning.base import Told
from vqgen.conditioning.text import TextConditioner
from vqgen.conditioning.vocabulary import NO_TOKEN


class EncoderBlock(nn.Module):
    """A pre-norm Transformer block in which every row sees every row that is there.

    Args:
        dim: width, d.
        heads: number of attention heads; divides d.

    Example:
        >>> there = torch.tensor([[True, True, False]])
        >>> EncoderBlock(8, heads=2)(torch.zeros(1, 3, 8), there).shape
        torch.Size([1, 3, 8])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.1, the encoder; norms before each part.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)

    def forward(self, hidden: Float[Tensor, "b s d"], there: Bool[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """Carry rows through the layer.

        Args:
            hidden: (b, s, d) hidden states.
            there: (b, s) which rows may be looked at.

        Returns:
            (b, s, d) hidden states.
        """
        batch, count, dim = hidden.shape
        mixed = self.query_key_value(self.attention_norm(hidden)).view(batch, count, 3, self.heads, dim // self.heads)
        query, keys, values = mixed.permute(2, 0, 3, 1, 4)  # (b, s, 3, heads, e) -> 3 of (b, heads, s, e)
        heads = F.scaled_dot_product_attention(query, keys, values, there[:, None, None])
        hidden = hidden + self.output(heads.transpose(1, 2).reshape(batch, count, dim))
        added: Tensor = self.narrow(F.gelu(self.widen(self.feed_forward_norm(hidden))))
        return hidden + added


class TextEncoder(TextConditioner):
    """Encoder and decoder: the caption's tokens, each having seen the others, are the memory of every block.

    Before the tokens stands a row of its own, which is always there: it sums the caption up for the start vector, and
    is all there is to look at where there is no caption. The prior's sequence stays as long as the image.

    Args:
        vocabulary: JSON as `train_vocabulary` gives it.
        dim: width of the prior and of the encoder, d.
        length: s, tokens of a caption, >= 1; longer captions lose their end.
        depth: blocks of the encoder, >= 1.
        heads: attention heads of the encoder; divides d.
        caption_dropout: probability in [0, 1] of hiding a caption in training mode.

    Raises:
        ModuleNotFoundError: if the package `tokenizers` is not installed (`pip install 'vqgen[text]'`).
        ValueError: when an argument is out of its range.

    Example:
        >>> from vqgen.conditioning import train_vocabulary
        >>> encoder = TextEncoder(train_vocabulary(["red apple"] * 2), dim=8, length=6, heads=2).eval()
        >>> told = encoder(encoder.tokens(["red apple"]), batch_size=1)
        >>> told.memory.shape, told.memory_mask.sum().item()
        (torch.Size([1, 7, 8]), 3)

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.1.
    """

    def __init__(
        self,
        vocabulary: str,
        dim: int,
        *,
        length: int = 24,
        depth: int = 3,
        heads: int = 2,
        caption_dropout: float = 0.1,
    ) -> None:
        super().__init__(vocabulary, dim, length=length, caption_dropout=caption_dropout)
        if depth < 1 or heads < 1 or dim % heads:
            raise ValueError(
                f"depth and heads must be >= 1 and heads must divide dim, got depth={depth}, heads={heads}, dim={dim}"
            )
        self.depth = depth
        self.heads = heads
        self.memory_rows = length + 1
        self.start = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.summary = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.embedding = nn.Embedding(len(self.words), dim)
        self.position = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))
        self.blocks = nn.ModuleList(EncoderBlock(dim, heads) for _ in range(depth))
        self.final_norm = nn.LayerNorm(dim)
        self.to_start = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, EncoderBlock)
            for linear in (block.query_key_value, block.output, block.widen, block.narrow):
                nn.init.normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)
        nn.init.normal_(self.to_start.weight, std=0.02 * dim**-0.5)  # as loud as the start vector itself

    def forward(
        self, condition: Int[Tensor, "b s"] | None, batch_size: int, generator: torch.Generator | None = None
    ) -> Told:
        """Read the captions.

        Args:
            condition: (b, s) int64 tokens, filled up with -1, or None for no caption at all.
            batch_size: b, number of images.
            generator: draws which captions are hidden in training; torch's global one when None.

        Returns:
            A start vector, and a memory of s + 1 rows with a mask of those that are there.

        Raises:
            ValueError: when the shape does not fit or a token is out of range, see `TextConditioner.shown`.
        """
        tokens = self.shown(condition, batch_size, generator)
        there = F.pad(tokens != NO_TOKEN, (1, 0), value=True)
        rows = self.embedding(tokens.clamp_min(0)) + self.position
        hidden = torch.cat((self.summary.expand(batch_size, 1, -1), rows), dim=1)
        for block in self.blocks:
            hidden = block(hidden, there)
        memory: Tensor = self.final_norm(hidden)
        return Told(self.start + self.to_start(memory[:, 0]), memory=memory, memory_mask=there)
