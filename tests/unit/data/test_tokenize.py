from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vqgen.data import CodeGrids, SyntheticImages
from vqgen.data.tokenize import tokenize_images


class Brightness:
    """A tokenizer whose codes can be foreseen: the red at the upper left of each 4 x 4 cell, in 8 levels."""

    codebook_size = 8
    downsampling = 4
    depth = 1

    def encode(self, images: Tensor) -> Tensor:
        return ((images[:, 0, ::4, ::4] + 1) * 4).long().clamp(0, 7)

    def fingerprint(self) -> str:
        return "brightness"


SOURCE = SyntheticImages(10, (16, 24), num_classes=3)


def test_the_first_view_is_the_image_and_the_second_its_mirror_image(tmp_path: Path) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=2, batch_size=4)
    grids = CodeGrids(tmp_path / "codes", tokenizer="brightness", source=SOURCE.fingerprint)
    images, labels = SOURCE.split("train").batch(range(10))
    assert torch.equal(grids.batch(range(10)).codes, Brightness().encode(images))
    assert torch.equal(grids.batch(range(10), [1] * 10).codes, Brightness().encode(images.flip(-1)))
    assert torch.equal(grids.labels, labels)
    assert (grids.grid_size, grids.image_size, grids.class_names) == ((4, 6), (16, 24), SOURCE.class_names)


def test_further_views_differ_and_are_the_same_every_time(tmp_path: Path) -> None:
    codes = []
    for name, batch_size, workers in (("a", 3, 0), ("b", 10, 2)):
        options = {"batch_size": batch_size, "num_workers": workers}
        tokenize_images(Brightness(), SOURCE, "train", tmp_path / name, views=4, shift=3, **options)
        grids = CodeGrids(tmp_path / name)
        codes.append(torch.stack([grids.batch(range(10), [view] * 10).codes for view in range(4)]))
    assert torch.equal(*codes)
    assert len(codes[0].flatten(1).unique(dim=0)) == 4


def test_without_flips_no_view_is_mirrored(tmp_path: Path) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3, flip=False, shift=0)
    grids = CodeGrids(tmp_path / "codes")
    for view in range(3):
        assert torch.equal(grids.batch(range(10), [view] * 10).codes, grids.batch(range(10)).codes)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    tokenize_images(
        Brightness(), SOURCE, "train", tmp_path / "codes", views=2, batch_size=4, progress=lambda *at: seen.append(at)
    )
    assert seen == [(done, 20) for done in (4, 8, 12, 16, 20)]


def test_a_module_encodes_in_evaluation_mode_and_is_left_as_it_was(tmp_path: Path) -> None:
    class Checked(nn.Module, Brightness):
        def encode(self, images: Tensor) -> Tensor:
            assert not self.training
            assert torch.is_inference_mode_enabled()
            return Brightness.encode(self, images)

    tokenizer = Checked().train()
    tokenize_images(tokenizer, SOURCE, "validation", tmp_path / "codes")
    assert tokenizer.training


def test_a_size_that_the_tokenizer_cannot_divide_is_refused_before_encoding(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"divisible by the tokenizer's downsampling 4, got 16 x 18"):
        tokenize_images(Brightness(), SyntheticImages(10, (16, 18)), "train", tmp_path / "codes")
    with pytest.raises(ValueError, match="views must be >= 1, got 0"):
        tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=0)
    assert not (tmp_path / "codes").exists()
