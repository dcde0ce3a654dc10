"""OpenMoji as training images: the data set that needs no download of its own."""

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vqgen.data.array_images import ArrayImages
from vqgen.data.cache import cache_folder, short_hash
from vqgen.data.openmoji_render import cached_render, renderer_versions
from vqgen.data.openmoji_table import Emoji, is_validation, select
from vqgen.data.source import Caption, ImageSource, Split, as_image_size


class OpenMoji(ImageSource):
    """Emoji of the OpenMoji project, rendered on white at any size, with the group or subgroup as the class.

    The default subset has 2,266 drawings: no skin-tone variants, no components, no characters that are no emoji, no
    brands. Look-alikes (an emoji's skin tones and genders, its other colours, and everything that renders nearly the
    same, mirrored or not) are on one side of the split together, so that validation measures new drawings. The
    graphics are CC BY-SA 4.0; whoever shows or ships them names OpenMoji (`vqgen.data.openmoji_table.ATTRIBUTION`).

    Args:
        size: pixels per side, or (H, W); the drawing is square, as large as fits, centred.
        skin_tones: take the skin-tone variants too (2,030 drawings, all in their base's class and split).
        components: take the nine swatches of skin and hair.
        unicode_extras: take drawings of characters that are no emoji (137).
        brands: take logos of brands (53).
        labels: what a class is: "group" (such as animals-nature), "subgroup" (such as animal-bird), or "none".
        validation_fraction: share of the families of look-alikes that are held out, in [0, 1].
        cache: folder for the rendered images; None is the user's cache folder.

    Raises:
        ValueError: if the size or the fraction is out of range.
        ModuleNotFoundError: if the renderer is not installed (`pip install 'vqgen[openmoji]'`).

    Example:
        >>> source = OpenMoji(size=64)
        >>> len(source.emoji), source.class_names[:2]
        (2266, ('smileys-emotion', 'people-body'))
    """

    channels = 3

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        *,
        skin_tones: bool = False,
        components: bool = False,
        unicode_extras: bool = False,
        brands: bool = False,
        labels: Literal["group", "subgroup", "none"] = "group",
        validation_fraction: float = 0.1,
        cache: str | Path | None = None,
    ) -> None:
        if not 0 <= validation_fraction <= 1:
            raise ValueError(f"validation_fraction must lie in [0, 1], got {validation_fraction}")
        self.size = size
        self.skin_tones = skin_tones
        self.components = components
        self.unicode_extras = unicode_extras
        self.brands = brands
        self.labels = labels
        self.validation_fraction = validation_fraction
        self.cache = cache
        self.image_size = as_image_size(size)
        renderer_versions()  # a missing package is better missed now than in the first split

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The groups or subgroups that have drawings, in the order in which OpenMoji lists them."""
        return tuple(dict.fromkeys(self._class_of(emoji) for emoji in self.emoji if self.labels != "none"))

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the renderer's versions, the drawings, their classes and their split."""
        return short_hash(
            {
                "source": "OpenMoji",
                "versions": renderer_versions(),
                "size": self.image_size,
                "emoji": [emoji.hexcode for emoji in self.emoji],
                "labels": [self._class_of(emoji) for emoji in self.emoji],
                "validation": [is_validation(emoji, self.validation_fraction) for emoji in self.emoji],
            }
        )

    @cached_property
    def emoji(self) -> tuple[Emoji, ...]:
        """The chosen drawings of both splits, in table order."""
        return select(
            skin_tones=self.skin_tones,
            components=self.components,
            unicode_extras=self.unicode_extras,
            brands=self.brands,
        )

    def members(self, name: Split) -> tuple[Emoji, ...]:
        """The drawings of one split, in the order of its images.

        Args:
            name: "train" or "validation".

        Returns:
            One `Emoji` per image: its name, class, annotation.
        """
        held_out = name == "validation"
        return tuple(emoji for emoji in self.emoji if is_validation(emoji, self.validation_fraction) == held_out)

    def captions(self, name: Split) -> tuple[Caption, ...]:
        """What each drawing of one split is called, in the order of its images, and what else.

        Args:
            name: "train" or "validation".

        Returns:
            One caption per image: its annotation, and OpenMoji's tags.
        """
        return tuple(Caption(emoji.annotation, emoji.tags) for emoji in self.members(name))

    def split(self, name: Split) -> ArrayImages:
        """The images of one split, held in memory; rendered at the first call, read from the cache afterwards.

        Args:
            name: "train" or "validation".

        Returns:
            The data set.
        """
        pixels = cached_render([emoji.hexcode for emoji in self.emoji], self.image_size, cache_folder(self.cache))
        held_out = np.array([is_validation(emoji, self.validation_fraction) for emoji in self.emoji], dtype=bool)
        numbers = {class_name: number for number, class_name in enumerate(self.class_names)}
        labels = [numbers.get(self._class_of(emoji), -1) for emoji in self.members(name)]
        mask = held_out if name == "validation" else ~held_out
        return ArrayImages(torch.from_numpy(pixels[mask]), torch.tensor(labels, dtype=torch.int64))

    def _class_of(self, emoji: Emoji) -> str:
        return {"group": emoji.group, "subgroup": emoji.subgroup, "none": ""}[self.labels]
