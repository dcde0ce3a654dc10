"""The vendored table of OpenMoji: what each drawing shows, and which drawings must stay on one side of a split."""

import csv
import hashlib
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

TABLE = "openmoji.tsv"
ATTRIBUTION = (
    "All emojis designed by OpenMoji - the open-source emoji and icon project (https://openmoji.org). "
    "License: CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/)"
)

# A family of look-alikes with more members than this stays in training: one of them alone (the plain round faces,
# the clocks) would otherwise fill a good part of the validation split with near copies.
LARGEST_VALIDATION_FAMILY = 12


class Emoji(NamedTuple):
    """One drawing: its file name, where Unicode or OpenMoji files it, and its family of look-alikes."""

    hexcode: str
    group: str
    subgroup: str
    annotation: str
    base: str  # hexcode of the drawing this is a skin tone of; its own when it is none
    family: str  # hexcode of the first of its look-alikes
    family_size: int  # look-alikes, skin tones not counted
    tags: tuple[str, ...] = ()  # what else it is called, without words of the annotation

    @property
    def is_skin_tone(self) -> bool:
        """Whether this is another drawing with a skin tone."""
        return self.base != self.hexcode


@lru_cache(maxsize=1)
def read_table() -> tuple[Emoji, ...]:
    """All 4,495 drawings of OpenMoji 17, in OpenMoji's own order.

    Returns:
        One `Emoji` per drawing.

    Example:
        >>> first = read_table()[0]
        >>> first.hexcode, first.group, first.annotation, first.tags[:2]
        ('1F600', 'smileys-emotion', 'grinning face', ('cheerful', 'cheery'))
    """
    text = (resources.files("vqgen.data") / TABLE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines, dialect="excel-tab", quoting=csv.QUOTE_NONE))
    # The file says a skin tone's group, subgroup and family only once, in the row of its base.
    bases = {row["hexcode"]: row for row in rows if not row["base"]}
    sizes: dict[str, int] = {}
    for row in bases.values():
        row["family"] = row["family"] or row["hexcode"]
        sizes[row["family"]] = sizes.get(row["family"], 0) + 1
    return tuple(
        Emoji(
            hexcode=row["hexcode"],
            group=base["group"],
            subgroup=base["subgroup"],
            annotation=row["annotation"],
            base=base["hexcode"],
            family=base["family"],
            family_size=sizes[base["family"]],
            tags=tuple(base["tags"].split(", ")) if base["tags"] else (),
        )
        for row in rows
        for base in [bases[row["base"] or row["hexcode"]]]
    )


def select(
    *, skin_tones: bool = False, components: bool = False, unicode_extras: bool = False, brands: bool = False
) -> tuple[Emoji, ...]:
    """The drawings of a subset, in table order.

    Args:
        skin_tones: take the skin-tone variants of people and hands too (2,030 drawings).
        components: take the nine swatches of skin and hair.
        unicode_extras: take OpenMoji's drawings of characters that are no emoji (137 drawings).
        brands: take logos of brands (53 drawings).

    Returns:
        The chosen drawings.

    Example:
        >>> len(select()), len(select(skin_tones=True, components=True, unicode_extras=True, brands=True))
        (2266, 4495)
    """
    return tuple(
        emoji
        for emoji in read_table()
        if (skin_tones or not emoji.is_skin_tone)
        and (components or emoji.group != "component")
        and (unicode_extras or emoji.group != "extras-unicode")
        and (brands or emoji.subgroup != "brand")
    )


def is_validation(emoji: Emoji, fraction: float) -> bool:
    """Whether a drawing belongs to the validation split; its whole family does, or none of it.

    The side is decided by a hash of the family's name alone, so it is the same for every subset, size and machine, and
    a larger fraction only adds families to the validation split.

    Args:
        emoji: the drawing.
        fraction: the share of families to take for validation, in [0, 1].

    Returns:
        True for validation, False for training.

    Example:
        >>> sum(is_validation(emoji, 0.5) for emoji in select()) > 500
        True
    """
    if emoji.family_size > LARGEST_VALIDATION_FAMILY:
        return False
    digest = hashlib.sha256(f"openmoji split {emoji.family}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
