import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqgen.data import Augmented, ImageFolder, SyntheticImages
from vqgen.data.label_maps import LabelMapImages, LabelsOfCells


def make_folders(root: Path, count: int = 6, size: tuple[int, int] = (20, 16)) -> None:
    """Images whose red is ten times the label that their map has at the pixel."""
    generator = np.random.default_rng(0)
    for number in range(count):
        labels = generator.integers(0, 5, (size[1] // 4, size[0] // 4)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
        name = Path("ab"[number % 2]) / f"{number}.png"
        for folder, picture in (("images", Image.fromarray(labels * 10)), ("maps", Image.fromarray(labels))):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (picture.convert("RGB") if folder == "images" else picture).save(root / folder / name)


def source(root: Path, **options: object) -> ImageFolder:
    arguments = {"size": 16, "validation_fraction": 0.3, "cache": root / "cache", **options}
    return ImageFolder(root / "images", **arguments)  # type: ignore[arg-type]


def test_maps_are_cut_turned_and_moved_as_their_images(tmp_path: Path) -> None:
    make_folders(tmp_path)
    images = source(tmp_path, crop="random")
    maps = LabelMapImages(images, tmp_path / "maps")
    changes = {"seed": 3, "flip": True, "shift": 3}
    draws = range(24)
    pictures = Augmented(images.split("train"), **changes).batch(draws).images
    labels = Augmented(maps.split("train"), **changes).batch(draws).images
    assert labels.shape == (24, 1, 16, 16)
    torch.testing.assert_close((pictures[:, :1] + 1) / 10, labels + 1)
    assert len({tuple(picture.flatten().tolist()) for picture in pictures}) > 12  # they were changed in many ways


def test_splits_and_labels_follow_the_images(tmp_path: Path) -> None:
    make_folders(tmp_path)
    images = source(tmp_path)
    maps = LabelMapImages(images, tmp_path / "maps")
    for name in ("train", "validation"):
        assert torch.equal(maps.split(name).labels, images.split(name).labels)
        found = maps.split(name).batch(range(len(images.split(name)))).images
        torch.testing.assert_close(found + 1, (images.split(name).batch(range(len(found))).images[:, :1] + 1) / 10)


def test_a_change_of_a_map_changes_the_fingerprint(tmp_path: Path) -> None:
    make_folders(tmp_path)
    before = LabelMapImages(source(tmp_path), tmp_path / "maps").fingerprint
    assert LabelMapImages(source(tmp_path), tmp_path / "maps").fingerprint == before
    Image.new("L", (20, 16), 1).save(tmp_path / "maps" / "a" / "0.png", compress_level=0)
    assert LabelMapImages(source(tmp_path), tmp_path / "maps").fingerprint != before


def test_palette_maps_are_read_by_index(tmp_path: Path) -> None:
    make_folders(tmp_path)
    expected = LabelMapImages(source(tmp_path), tmp_path / "maps").split("train").batch([0]).images
    for file in (tmp_path / "maps").rglob("*.png"):
        with Image.open(file) as levels:
            coloured = levels.copy()
        coloured.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 7, 7, 7])
        assert coloured.mode == "P"
        coloured.save(file)
    assert torch.equal(LabelMapImages(source(tmp_path), tmp_path / "maps").split("train").batch([0]).images, expected)


def test_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    make_folders(tmp_path)
    with pytest.raises(TypeError, match="expected an ImageFolder, whose files label maps are named after, got Synth"):
        LabelMapImages(SyntheticImages(4), tmp_path / "maps")
    Image.new("L", (16, 20)).save(tmp_path / "maps" / "a" / "0.png")
    dataset = LabelMapImages(source(tmp_path, validation_fraction=0), tmp_path / "maps").split("train")
    with pytest.raises(ValueError, match=r"expected a label map of its image's size, 20 x 16 pixels, got 16 x 20 in"):
        dataset.batch(range(6))
    (tmp_path / "maps" / "b" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 6 images have no label map, such as .*1\.png"):
        LabelMapImages(source(tmp_path, validation_fraction=0), tmp_path / "maps").split("train")
    own = source(tmp_path, validation_root=tmp_path / "images")
    with pytest.raises(FileNotFoundError, match="name the maps' validation_root too"):
        LabelMapImages(own, tmp_path / "maps").split("validation")


def test_a_cell_takes_the_label_of_most_pixels_and_none_is_a_label() -> None:
    levels = torch.tensor([[1, 1, 2, 255], [1, 0, 255, 255]]).float()
    cells = LabelsOfCells(3, cell=2)
    assert cells.encode((levels / 127.5 - 1)[None, None]).tolist() == [[[1, 3]]]
    assert (cells.codebook_size, cells.downsampling) == (4, 2)


def test_labels_out_of_range_are_refused() -> None:
    levels = torch.tensor([[0.0, 7.0]])
    with pytest.raises(
        ValueError, match=re.escape("expected labels from 0 to 2 or 255 for none, got 7; set num_labels")
    ):
        LabelsOfCells(3, cell=1).encode((levels / 127.5 - 1)[None, None])
    with pytest.raises(ValueError, match="num_labels must be 1 to 255"):
        LabelsOfCells(256, cell=1)
