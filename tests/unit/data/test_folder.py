import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqgen.data import Augmented, ImageFolder
from vqgen.data.folder import choose_validation, list_images


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(30):
        write_image(tmp_path / "images" / ("cats", "dogs")[number % 2] / "deep" / f"{number:02}.png", number)
    return tmp_path / "images"


def test_sub_folders_are_classes_at_any_depth(root: Path) -> None:
    write_image(root / "loose.png")
    write_image(root / ".hidden" / "no.png")
    source = ImageFolder(root, 8, validation_fraction=0, cache=root.parent)
    train = source.split("train")
    assert source.class_names == ("cats", "dogs")
    assert len(train) == 31
    expected = {"cats": 0, "dogs": 1, "loose.png": -1}
    assert train.labels.tolist() == [expected[file.split("/")[0]] for file in train.files]
    assert len(source.split("validation")) == 0


def test_images_are_scaled_and_cut_in_the_middle(root: Path) -> None:
    source = ImageFolder(root, (12, 10), validation_fraction=0, cache=root.parent)
    image = source.split("train").read([0])[0]
    pixels = np.asarray(Image.open(root / source.split("train").files[0]))
    assert torch.equal(image, torch.from_numpy(pixels[:, 5:15].copy()).permute(2, 0, 1))
    assert source.split("train")[0].images.abs().max() <= 1


def test_without_labels_there_are_no_classes(root: Path) -> None:
    source = ImageFolder(root, 8, labels=False, cache=root.parent)
    assert source.class_names == ()
    assert set(source.split("train").labels.tolist()) == {-1}


def test_grey_is_one_channel(root: Path) -> None:
    assert ImageFolder(root, 8, channels=1, cache=root.parent).split("train")[0].images.shape == (1, 8, 8)


def test_splits_do_not_overlap_and_stay_when_files_are_added(root: Path) -> None:
    def sides() -> dict[str, set[str]]:
        source = ImageFolder(root, 8, validation_fraction=0.3, cache=root.parent)
        return {name: set(source.split(name).files) for name in ("train", "validation")}

    before = sides()
    assert not before["train"] & before["validation"]
    assert len(before["train"] | before["validation"]) == 30
    assert 3 <= len(before["validation"]) <= 15
    for number in range(10):
        write_image(root / "cats" / f"new{number}.png", number)
    after = sides()
    assert before["train"] <= after["train"]
    assert before["validation"] <= after["validation"]


def test_a_validation_folder_is_used_whole(root: Path) -> None:
    write_image(root.parent / "held" / "birds" / "b.png")
    write_image(root.parent / "held" / "dogs" / "d.png")
    source = ImageFolder(root, 8, validation_root=root.parent / "held", cache=root.parent)
    assert source.class_names == ("birds", "cats", "dogs")
    assert len(source.split("train")) == 30
    assert source.split("validation").labels.tolist() == [0, 2]
    assert source.split("validation").batch([0, 1]).images.shape == (2, 3, 8, 8)


def test_random_crops_follow_the_draw_and_validation_is_centred(root: Path) -> None:
    source = ImageFolder(root, 12, crop="random", cache=root.parent)
    train = source.split("train")
    augmented = Augmented(train, seed=1)
    crops = augmented.batch([len(train) * epoch for epoch in range(20)]).images
    assert len(crops.unique(dim=0)) > 3
    assert torch.equal(augmented[len(train)].images, crops[1])
    centred = ImageFolder(root, 12, cache=root.parent).split("train")
    assert torch.equal(train.batch([0, 1]).images, centred.batch([0, 1]).images)


def test_broken_files_stop_before_training_and_are_named(root: Path) -> None:
    for number in range(6):
        (root / "cats" / f"bad{number}.png").write_bytes(b"no image")
    source = ImageFolder(root, 8, cache=root.parent)
    with pytest.raises(ValueError, match=r"(?s)6 of the image files cannot be read.*'skip'.*first five:\n.*bad0\.png"):
        source.split("train")


def test_broken_files_are_left_out_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = root / "cats" / "bad.png"
    bad.write_bytes((root / "cats" / "deep" / "00.png").read_bytes()[:100])
    source = ImageFolder(root, 8, on_error="skip", cache=root.parent)
    with caplog.at_level(logging.WARNING):
        assert len(source.split("train")) + len(source.split("validation")) == 30
    assert list(source.skipped) == [str(bad)]
    assert "Left out 1 image files that cannot be read" in caplog.text
    assert "bad.png" in caplog.text


def test_trusted_files_are_not_looked_at_until_they_are_read(root: Path) -> None:
    (root / "cats" / "bad.png").write_bytes(b"no image")
    source = ImageFolder(root, 8, on_error="trust", validation_fraction=0, cache=root.parent)
    train = source.split("train")
    with pytest.raises(ValueError, match=r"cannot read the image .*bad\.png"):
        train.batch([train.files.index("cats/bad.png")])


def test_only_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"no image file in .* is left to train on; 1 could not be read"):
        ImageFolder(tmp_path, 8, on_error="skip", cache=tmp_path).split("train")


def test_missing_and_empty_folders_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; pass the folder that holds your im"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"there is no image in .*; expected files ending in .bmp, .gif, .jpeg"):
        ImageFolder(tmp_path)


def test_out_of_range_fraction_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"validation_fraction must lie in \[0, 1\), got 1.0"):
        ImageFolder(root, validation_fraction=1.0)


def test_fingerprint_follows_files_and_options(root: Path) -> None:
    def fingerprint(**options: object) -> str:
        return ImageFolder(root, **{"size": 8, "cache": root.parent, **options}).fingerprint

    prints = [
        fingerprint(),
        fingerprint(size=9),
        fingerprint(labels=False),
        fingerprint(crop="random"),
        fingerprint(channels=1),
        fingerprint(validation_fraction=0.5),
        fingerprint(validation_root=root / "cats"),
    ]
    assert fingerprint() == prints[0]
    write_image(root / "cats" / "one_more.png")
    prints.append(fingerprint())
    write_image(root / "cats" / "one_more.png", seed=9)
    prints.append(fingerprint())
    assert len(set(prints)) == len(prints)


def test_list_images_is_sorted_and_follows_suffixes_in_any_case(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.webp", "a/.DS_Store", "c.txt", ".d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ["a/z.webp", "b.JPG"]


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_choose_validation_takes_some_and_never_all(count: int) -> None:
    files = [f"{number}.png" for number in range(count)]
    for fraction in (0.0, 0.001, 0.2, 0.999):
        chosen = choose_validation(files, fraction)
        assert chosen < set(files)
        assert bool(chosen) == (fraction > 0 and count > 1)
    assert len(choose_validation([f"{number}.png" for number in range(2000)], 0.2)) in range(340, 460)


def test_unchecked_images_are_the_same_and_are_not_looked_at(root: Path) -> None:
    source = ImageFolder(root, 8, cache=root.parent / "one")
    unchecked = source.unchecked()
    assert unchecked.fingerprint == source.fingerprint
    assert list(unchecked.split("train").files) == list(source.split("train").files)
    (root / "cats" / "bad.png").write_bytes(b"no image")
    source = ImageFolder(root, 8, cache=root.parent / "two")
    assert len(source.unchecked().split("train")) + len(source.unchecked().split("validation")) == 31
    with pytest.raises(ValueError, match="1 of the image files cannot be read"):
        source.split("train")
    skipping = ImageFolder(root, 8, on_error="skip", cache=root.parent / "three").unchecked()
    assert len(skipping.split("train")) + len(skipping.split("validation")) == 30
