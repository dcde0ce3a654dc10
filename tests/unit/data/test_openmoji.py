from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from vqgen.data import OpenMoji

# The table was made with 0.12; the allowance is for renderers that shade an edge a little differently.
NEAREST_ALLOWED = 0.118


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> OpenMoji:
    return OpenMoji(cache=tmp_path_factory.mktemp("cache"))


def test_splits_hold_every_drawing_once(source: OpenMoji) -> None:
    train, validation = source.members("train"), source.members("validation")
    assert len(train) + len(validation) == len({emoji.hexcode for emoji in train + validation}) == 2266
    assert 0.05 < len(validation) / 2266 < 0.12
    assert (len(source.split("train")), len(source.split("validation"))) == (len(train), len(validation))


def test_items_are_images_in_unit_range_with_their_class(source: OpenMoji) -> None:
    dataset = source.split("train")
    image, label = dataset[0]
    assert image.shape == (3, 64, 64)
    assert (image.min() >= -1, image.max()) == (True, 1)
    assert source.class_names[label] == source.members("train")[0].group == "smileys-emotion"
    assert len(source.class_names) == 10
    assert set(dataset.labels.tolist()) == set(range(10))


def test_no_base_and_no_family_is_on_both_sides() -> None:
    source = OpenMoji(skin_tones=True, components=True, unicode_extras=True, brands=True)
    train, validation = source.members("train"), source.members("validation")
    assert not {emoji.base for emoji in train} & {emoji.base for emoji in validation}
    assert not {emoji.family for emoji in train} & {emoji.family for emoji in validation}


def test_an_emoji_is_on_the_same_side_in_every_subset(source: OpenMoji) -> None:
    everything = OpenMoji(skin_tones=True, components=True, unicode_extras=True, brands=True)
    assert set(source.members("validation")) <= set(everything.members("validation"))


def test_no_validation_image_is_a_near_duplicate_of_a_training_image(source: OpenMoji) -> None:
    def small(images: Tensor) -> Tensor:
        return avg_pool2d((images + 1) / 2, 2)

    train = small(source.split("train").read(range(len(source.split("train")))))
    validation = small(source.split("validation").read(range(len(source.split("validation")))))
    padded = pad(validation, (2, 2, 2, 2), value=1.0)
    for top in range(5):
        for left in range(5):
            moved = padded[:, :, top : top + 32, left : left + 32]
            for version in (moved, moved.flip(-1)):
                distances = torch.cdist(version.flatten(1), train.flatten(1)) / (3 * 32 * 32) ** 0.5
                assert distances.min() >= NEAREST_ALLOWED


@pytest.mark.parametrize(("labels", "classes"), [("group", 10), ("subgroup", 115), ("none", 0)])
def test_labels_choose_the_classes(labels: str, classes: int) -> None:
    assert len(OpenMoji(labels=labels).class_names) == classes


def test_fingerprint_follows_everything_that_matters_and_nothing_else(tmp_path: Path) -> None:
    variants = [
        OpenMoji(),
        OpenMoji(32),
        OpenMoji((64, 32)),
        OpenMoji(skin_tones=True),
        OpenMoji(labels="none"),
        OpenMoji(validation_fraction=0.2),
    ]
    assert len({source.fingerprint for source in variants}) == len(variants)
    assert OpenMoji(cache=tmp_path).fingerprint == OpenMoji((64, 64)).fingerprint


def test_out_of_range_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"validation_fraction must lie in \[0, 1\], got 1.5"):
        OpenMoji(validation_fraction=1.5)
    with pytest.raises(ValueError, match=r"size must be at least 2 pixels a side, got \(0, 8\)"):
        OpenMoji((0, 8))
