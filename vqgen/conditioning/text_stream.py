"""Text in one stream: the caption's tokens are the first rows of the prior's own sequence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.conditioning.base import PrefixNll, Told
from vqgen.conditioning.text import TextConditioner
from vqgen.conditioning.vocabulary import NO_TOKEN


class TextStream(TextConditioner):
    """One transformer for text and image: a caption of s tokens, then the codes, each predicted from all before it.

    The rows are "begin", token 0, .., token s - 2; token s - 1 is read by the row that predicts the first code. Row i
    predicts token i, so that the prior also models captions (`prefix_nll`). Every place that a caption leaves empty has
    a vector of its own, and the first of them is predicted too: it says that the caption ends. Where there is no
    caption all places are empty, and none is predicted.

    Args:
        vocabulary: JSON as `train_vocabulary` gives it.
        dim: width of the prior, d.
        length: s, tokens of a caption, >= 1; longer captions lose their end. The sequence grows by so many rows.
        caption_dropout: probability in [0, 1] of hiding a caption in training mode.

    Raises:
        ModuleNotFoundError: if the package `tokenizers` is not installed (`pip install 'vqgen[text]'`).
        ValueError: when an argument is out of its range.

    Example:
        >>> from vqgen.conditioning import train_vocabulary
        >>> stream = TextStream(train_vocabulary(["red apple", "green apple"]), dim=8, length=6).eval()
        >>> stream(stream.tokens(["red apple", ""]), batch_size=2).prefix.shape
        torch.Size([2, 6, 8])

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), section 2.2; classifier-free dropout in
    place of its learned "no text" is Ho and Salimans (2207.12598).
    """

    def __init__(self, vocabulary: str, dim: int, *, length: int = 24, caption_dropout: float = 0.1) -> None:
        super().__init__(vocabulary, dim, length=length, caption_dropout=caption_dropout)
        self.prefix_rows = length
        self.begin = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.start = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.embedding = nn.Embedding(len(self.words), dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.empty = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))
        self.position = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))
        self.head = nn.Linear(dim, len(self.words) + 1, bias=False)  # the last one says that the caption ends
        nn.init.zeros_(self.head.weight)

    def forward(
        self, condition: Int[Tensor, "b s"] | None, batch_size: int, generator: torch.Generator | None = None
    ) -> Told:
        """Write the captions down as rows.

        Args:
            condition: (b, s) int64 tokens, filled up with -1, or None for no caption at all.
            batch_size: b, number of images.
            generator: draws which captions are hidden in training; torch's global one when None.

        Returns:
            A start vector, s rows to come before it, and the tokens that those rows are to predict.

        Raises:
            ValueError: when the shape does not fit or a token is out of range, see `TextConditioner.shown`.
        """
        tokens = self.shown(condition, batch_size, generator)
        empty = (tokens == NO_TOKEN)[..., None]
        rows = torch.where(empty, self.empty, self.embedding(tokens.clamp_min(0)) + self.position)
        begin = self.begin.expand(batch_size, 1, -1)
        return Told(self.start + rows[:, -1], prefix=torch.cat((begin, rows[:, :-1]), dim=1), tokens=tokens)

    def prefix_nll(self, hidden: Float[Tensor, "b p d"], told: Told) -> PrefixNll:
        """Negative log-likelihood of the captions.

        Args:
            hidden: (b, s, d) what the prior made of the rows before the start.
            told: what `forward` gave.

        Returns:
            Nats of every token and of the end of captions that end within s tokens.
        """
        assert told.tokens is not None
        ends = len(self.words)
        there = told.tokens != NO_TOKEN
        counted = there | (F.pad(there[:, :-1], (1, 0)) & ~there)  # the tokens, and the first empty place after them
        targets = torch.where(there, told.tokens, ends)
        logits = self.head(hidden).float()
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        return PrefixNll(nats.masked_fill(~counted, 0.0), counted)
