"""Captions of images: chosen for every draw, and served as tokens beside the codes."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from vqgen.conditioning import Vocabulary, train_vocabulary
from vqgen.data.code_grids import CodeGrids, RandomViews
from vqgen.data.draws import mix, uniforms
from vqgen.data.source import Caption, ImageSource


class CaptionedBatch(NamedTuple):
    """Grids of codes with the labels and captions of their images.

    Example:
        >>> import torch
        >>> grids, tokens = torch.zeros(2, 4, 4, dtype=torch.int64), torch.tensor([[5, -1], [3, 9]])
        >>> CaptionedBatch(codes=grids, labels=torch.tensor([4, -1]), captions=tokens).captions.shape
        torch.Size([2, 2])
    """

    codes: Int64[Tensor, "b h w"]
    labels: Int64[Tensor, " b"]  # -1 = no label
    captions: Int64[Tensor, "b s"]  # -1 fills a caption up


class Captions:
    """How the captions of a source are told: their vocabulary, their length, and how many tags join them in training.

    Args:
        length: s, tokens of a caption, >= 1; longer captions lose their end.
        vocabulary_size: tokens at most, >= 256; learned from the captions and tags of the training images.
        tags: most tags that a caption takes with it in training, >= 0; each draw takes a number up to this, at random.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> apple = Caption("red apple", ("fruit", "food"))
        >>> Captions(tags=2).varied([apple, apple], seed=0, draws=[0, 3])
        ['red apple', 'red apple, food, fruit']
    """

    def __init__(self, length: int = 24, vocabulary_size: int = 1024, tags: int = 3) -> None:
        if length < 1 or tags < 0:
            raise ValueError(f"length must be >= 1 and tags >= 0, got length={length} and tags={tags}")
        self.length = length
        self.vocabulary_size = vocabulary_size
        self.tags = tags

    def vocabulary(self, source: ImageSource) -> str:
        """Learn the vocabulary of a source's training captions and their tags.

        Args:
            source: the images.

        Returns:
            JSON for `Vocabulary`, always the same for the same captions.

        Raises:
            ValueError: if the source has no captions.
        """
        captions = source.captions("train")
        if not captions:
            raise ValueError(
                f"{type(source).__name__} has no captions; take a source that has, such as vqgen.data.OpenMoji, or "
                "leave captions out"
            )
        return train_vocabulary([text for each in captions for text in (each.text, *each.tags)], self.vocabulary_size)

    def varied(self, captions: Sequence[Caption], *, seed: int, draws: Sequence[int]) -> list[str]:
        """Write captions as training sees them: with some of their tags, as the draw decides.

        Args:
            captions: of the images drawn.
            seed: with the draw number, decides the tags.
            draws: number of each draw, see `vqgen.data.draws`.

        Returns:
            One text for each.
        """
        most = max((len(caption.tags) for caption in captions), default=0)
        chances = uniforms(mix(seed, draws), most + 1)
        texts = []
        for caption, row in zip(captions, chances, strict=True):
            order = np.argsort(row[1 : len(caption.tags) + 1])[: int(row[0] * (self.tags + 1))]
            texts.append(", ".join((caption.text, *(caption.tags[index] for index in order))))
        return texts


def of_known_words(captions: Sequence[Caption], training: Sequence[Caption]) -> list[int]:
    """Find the captions that say something new in known words: no training caption says the same.

    Args:
        captions: of held-out images.
        training: of training images.

    Returns:
        Indices of the captions whose every word is in some training caption or its tags, and which
        are no training caption themselves.

    Example:
        >>> training = [Caption("red apple"), Caption("green book")]
        >>> of_known_words([Caption("Green apple"), Caption("red apple"), Caption("red pear")], training)
        [0]
    """
    known = {word for caption in training for text in (caption.text, *caption.tags) for word in _words(text)}
    said = {" ".join(_words(caption.text)) for caption in training}
    return [
        index
        for index, caption in enumerate(captions)
        if (words := _words(caption.text)) and known.issuperset(words) and " ".join(words) not in said
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


class CaptionedGrids:
    """Codes with the captions of their images.

    Args:
        grids: the codes of n images.
        captions: of the same images.
        options: how they are told.
        vocabulary: JSON as `Captions.vocabulary` gives it.

    Raises:
        ValueError: if there is not one caption for each image.
    """

    def __init__(self, grids: CodeGrids, captions: Sequence[Caption], options: Captions, vocabulary: str) -> None:
        if len(captions) != len(grids):
            raise ValueError(
                f"expected one caption for each of {len(grids)} images in {grids.folder}, got {len(captions)}; "
                "the codes are of other images: make them anew"
            )
        self.grids = grids
        self.captions = tuple(captions)
        self.options = options
        self.words = Vocabulary(vocabulary)

    def __len__(self) -> int:
        return len(self.grids)

    def batch(self, indices: Sequence[int]) -> CaptionedBatch:
        """The images as they are, their captions without tags, as validation sees them."""
        codes, labels = self.grids.batch(indices)
        texts = [self.captions[index].text for index in indices]
        return CaptionedBatch(codes, labels, self.words.encode(texts, self.options.length))


class RandomCaptions:
    """Draws of captioned codes: view and tags of a draw are decided by its number.

    Args:
        grids: codes with captions.
        seed: with the draw number, decides view and tags.
    """

    def __init__(self, grids: CaptionedGrids, *, seed: int = 0) -> None:
        self.grids = grids
        self.views = RandomViews(grids.grids, seed=seed)
        self.seed = seed

    def batch(self, draws: Sequence[int]) -> CaptionedBatch:
        """The codes of these draws, with their labels and captions."""
        codes, labels = self.views.batch(draws)
        options, captions = self.grids.options, [self.grids.captions[draw % len(self.grids)] for draw in draws]
        texts = options.varied(captions, seed=self.seed + 1, draws=draws)  # the view took the numbers of this seed
        return CaptionedBatch(codes, labels, self.grids.words.encode(texts, options.length))
