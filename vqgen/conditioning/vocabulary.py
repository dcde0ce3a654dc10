"""Texts as numbers: a byte-level BPE vocabulary that travels as one JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Encoder

NO_TOKEN = -1
"""What fills a caption up to its length; a caption of nothing else is no caption."""

BYTES = 256


class Vocabulary:
    """Turns captions into tokens and back. Any text can be written: what is no word of it is written byte by byte.

    Letters count as small ones, and spaces at the ends do not count.

    Args:
        text: JSON as `train_vocabulary` gives it, the whole of the vocabulary.

    Raises:
        ModuleNotFoundError: if the package `tokenizers` is not installed (`pip install 'vqgen[text]'`).
        ValueError: if the text is no vocabulary.

    Example:
        >>> vocabulary = Vocabulary(train_vocabulary(["red apple", "green apple"], size=270))
        >>> tokens = vocabulary.encode(["Red apple", ""], length=4)
        >>> tokens.shape, vocabulary.decode(tokens)
        (torch.Size([2, 4]), ['red apple', ''])
    """

    def __init__(self, text: str) -> None:
        tokenizers = _tokenizers()
        try:
            self._encoder: Encoder = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the package raises nothing more exact
            raise ValueError(
                f"expected a vocabulary as train_vocabulary gives it, got {text[:40]!r}... ({error})"
            ) from error

    def __len__(self) -> int:
        return int(self._encoder.get_vocab_size())

    def encode(self, captions: Sequence[str], length: int) -> Int[Tensor, "b s"]:
        """Write captions as tokens.

        Args:
            captions: b texts; an empty one is no caption.
            length: s, tokens of each; longer captions lose their end.

        Returns:
            (b, s) int64, filled up with -1.
        """
        tokens = torch.full((len(captions), length), NO_TOKEN)
        for row, found in zip(tokens, self._encoder.encode_batch([text.strip() for text in captions]), strict=True):
            kept = found.ids[:length]
            row[: len(kept)] = torch.tensor(kept, dtype=torch.int64)
        return tokens

    def decode(self, tokens: Int[Tensor, "b s"]) -> list[str]:
        """Read captions from their tokens, in small letters."""
        return [
            str(self._encoder.decode([token for token in row if token != NO_TOKEN])).strip() for row in tokens.tolist()
        ]


def train_vocabulary(captions: Iterable[str], size: int = 1024) -> str:
    """Find the vocabulary of some captions: all bytes, and the pairs of tokens that are most often beside each other.

    Args:
        captions: the texts to learn from; those of training, so that nothing is known of held-out ones.
        size: tokens at most, >= 256; fewer are found where nothing repeats.

    Returns:
        JSON for `Vocabulary`, the same for the same captions.

    Raises:
        ModuleNotFoundError: if the package `tokenizers` is not installed (`pip install 'vqgen[text]'`).
        ValueError: if there are no captions, or the size leaves no room for all bytes.

    Example:
        >>> len(Vocabulary(train_vocabulary(["red apple", "green apple"], size=260)))
        260

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units (1508.07909), algorithm 1; over
    bytes, Radford et al., Language Models are Unsupervised Multitask Learners (GPT-2), section 2.2.
    """
    tokenizers = _tokenizers()
    captions = [caption.strip() for caption in captions if caption.strip()]
    if not captions:
        raise ValueError("expected captions to learn a vocabulary from, got none; pass those of the training images")
    if size < BYTES:
        raise ValueError(f"size must be >= {BYTES}, one token for every byte, got {size}")
    encoder = tokenizers.Tokenizer(tokenizers.models.BPE())
    encoder.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFC(), tokenizers.normalizers.Lowercase()]
    )
    encoder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    encoder.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    )
    encoder.train_from_iterator(captions, trainer)
    return str(encoder.to_str())


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "captions need the package tokenizers, which is not installed; run: pip install 'vqgen[text]'"
        ) from error
    return tokenizers
