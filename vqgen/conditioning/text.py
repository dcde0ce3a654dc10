"""A caption as the condition: what every way of telling it to the prior shares."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.conditioning.base import Conditioner
from vqgen.conditioning.vocabulary import NO_TOKEN, Vocabulary


class TextConditioner(Conditioner):
    """Base of the conditioners whose condition is a caption: tokens (b, s), filled up with -1.

    The vocabulary is part of the model and travels with it, so that a saved prior needs nothing else to read a prompt.
    In training a whole caption is hidden with probability ``caption_dropout``, so that one prior gives the conditional
    and the unconditional distribution that classifier-free guidance combines.

    Args:
        vocabulary: JSON as `train_vocabulary` gives it.
        dim: width of the prior, d.
        length: s, tokens of a caption, >= 1; longer captions lose their end.
        caption_dropout: probability in [0, 1] of hiding a caption in training mode.

    Raises:
        ModuleNotFoundError: if the package `tokenizers` is not installed (`pip install 'vqgen[text]'`).
        ValueError: when an argument is out of its range.
    """

    reads = "captions"

    def __init__(self, vocabulary: str, dim: int, *, length: int, caption_dropout: float) -> None:
        super().__init__()
        if length < 1:
            raise ValueError(f"length must be >= 1, got {length}; it is the number of tokens of a caption")
        if not 0.0 <= caption_dropout <= 1.0:
            raise ValueError(f"caption_dropout must be a probability in [0, 1], got {caption_dropout}")
        self.vocabulary = vocabulary
        self.dim = dim
        self.length = length
        self.caption_dropout = caption_dropout
        self.words = Vocabulary(vocabulary)

    def tokens(self, captions: Sequence[str]) -> Int[Tensor, "b s"]:
        """Write captions, or prompts, as conditions (b, s); an empty one is none."""
        return self.words.encode(captions, self.length)

    def shown(
        self, condition: Int[Tensor, "b s"] | None, batch_size: int, generator: torch.Generator | None
    ) -> Int[Tensor, "b s"]:
        """Check captions, and hide some of them in training mode.

        Args:
            condition: (b, s) int64 tokens, filled up with -1, or None for no caption at all.
            batch_size: b, number of images.
            generator: draws which captions are hidden; torch's global one when None.

        Returns:
            (b, s), all -1 where a caption is hidden or none was given.

        Raises:
            ValueError: when the shape does not fit, or a token is out of range (looked at on the CPU alone; elsewhere
                that would stall the device).
        """
        if condition is None:
            return torch.full((batch_size, self.length), NO_TOKEN, device=next(self.parameters()).device)
        if condition.shape != (batch_size, self.length):
            raise ValueError(
                f"expected captions of shape {(batch_size, self.length)}, {self.length} tokens for each image, got "
                f"{tuple(condition.shape)}; make them with the conditioner's method tokens"
            )
        if condition.device.type == "cpu" and condition.numel() > 0:
            least, most = int(condition.min()), int(condition.max())
            if least < NO_TOKEN or most >= len(self.words):
                raise ValueError(
                    f"tokens must be from -1 (none) to {len(self.words) - 1}, got {least} to {most}; make them with "
                    "the conditioner's method tokens"
                )
        if self.training and self.caption_dropout > 0.0:
            chances = torch.rand((batch_size, 1), device=condition.device, generator=generator)
            condition = torch.where(chances < self.caption_dropout, NO_TOKEN, condition)
        return condition
