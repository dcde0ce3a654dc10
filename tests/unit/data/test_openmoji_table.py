from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqgen.data.openmoji_table import LARGEST_VALIDATION_FAMILY, is_validation, read_table, select


def test_default_subset_has_the_documented_size() -> None:
    chosen = select()
    assert len(chosen) == 2266
    assert not any(emoji.is_skin_tone or emoji.subgroup == "brand" for emoji in chosen)
    assert not {"component", "extras-unicode"} & {emoji.group for emoji in chosen}


@pytest.mark.parametrize(
    ("option", "added"), [("skin_tones", 2030), ("components", 9), ("unicode_extras", 137), ("brands", 53)]
)
def test_each_option_adds_its_drawings(option: str, added: int) -> None:
    assert len(select(**{option: True})) == 2266 + added


def test_skin_tones_have_their_bases_class_and_family() -> None:
    by_hexcode = {emoji.hexcode: emoji for emoji in read_table()}
    variants = [emoji for emoji in read_table() if emoji.is_skin_tone]
    assert variants
    for emoji in variants:
        base = by_hexcode[emoji.base]
        assert not base.is_skin_tone
        assert (emoji.group, emoji.subgroup, emoji.family) == (base.group, base.subgroup, base.family)


def test_a_family_is_named_by_one_of_its_members() -> None:
    by_hexcode = {emoji.hexcode: emoji for emoji in read_table()}
    assert all(by_hexcode[emoji.family].family == emoji.family for emoji in read_table())


@pytest.mark.parametrize(
    "names",
    [
        ("person running", "man running", "woman running: facing right"),
        ("health worker", "man health worker", "woman health worker"),
        ("grinning face", "grinning face with smiling eyes"),
        ("one o’clock", "ten-thirty"),
        ("red heart", "green heart"),
        ("family: man, woman, boy", "family: woman, woman, girl, girl"),
    ],
)
def test_look_alikes_share_a_family(names: tuple[str, ...]) -> None:
    families = {emoji.annotation: emoji.family for emoji in read_table()}
    assert len({families[name] for name in names}) == 1


def test_unlike_drawings_have_families_of_their_own() -> None:
    counts = Counter(emoji.family for emoji in select())
    assert sum(count == 1 for count in counts.values()) > 1300


@given(fraction=st.floats(0, 1), larger=st.floats(0, 1))
def test_a_family_is_on_one_side_and_a_larger_fraction_keeps_it_there(fraction: float, larger: float) -> None:
    low, high = sorted((fraction, larger))
    sides: dict[str, bool] = {}
    for emoji in read_table()[::7]:
        side = is_validation(emoji, low)
        assert sides.setdefault(emoji.family, side) == side
        assert is_validation(emoji, high) >= side


def test_large_families_stay_in_training() -> None:
    large = [emoji for emoji in read_table() if emoji.family_size > LARGEST_VALIDATION_FAMILY]
    assert large
    assert not any(is_validation(emoji, 1.0) for emoji in large)
