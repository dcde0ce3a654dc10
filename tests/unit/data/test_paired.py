from pathlib import Path

import pytest
import torch

from vqgen.data import CodeGrids, PairedGrids
from vqgen.data.code_grids import RandomViews, write_code_grids


def write(folder: Path, side: int, *, count: int = 5, views: int = 3, offset: int = 0) -> CodeGrids:
    """Grids whose every code is offset + 10 * view + image."""
    codes = [torch.full((1, side, side), offset + 10 * view + image) for view in range(views) for image in range(count)]
    write_code_grids(
        folder,
        codes,
        torch.arange(count),
        views=views,
        grid_size=(side, side),
        codebook_size=200,
        image_size=(8, 8),
        class_names=tuple("abcde"[:count]),
        tokenizer="1",
        source="2",
    )
    return CodeGrids(folder)


def test_codes_and_conditions_are_of_the_same_image_and_view(tmp_path: Path) -> None:
    pairs = PairedGrids(write(tmp_path / "codes", 4), write(tmp_path / "conditions", 2, offset=100))
    batch = pairs.batch([4, 0, 4], [0, 2, 1])
    assert batch.codes[:, 0, 0].tolist() == [4, 20, 14]
    assert torch.equal(batch.condition, 100 + batch.codes[:, :2, :2])
    assert batch.labels.tolist() == [4, 0, 4]


def test_random_views_are_drawn_for_both_together(tmp_path: Path) -> None:
    grids = write(tmp_path / "codes", 4)
    pairs = PairedGrids(grids, write(tmp_path / "conditions", 2, offset=100))
    drawn = RandomViews(pairs, seed=3).batch(range(40))
    assert torch.equal(drawn.condition[:, 0, 0], 100 + drawn.codes[:, 0, 0])
    assert torch.equal(drawn.codes, RandomViews(grids, seed=3).batch(range(40)).codes)
    assert len(set((drawn.codes[:, 0, 0] // 10).tolist())) == 3


@pytest.mark.parametrize("other", [{"count": 4}, {"views": 2}])
def test_refuses_conditions_of_other_images(tmp_path: Path, other: dict[str, int]) -> None:
    grids, conditions = write(tmp_path / "codes", 4), write(tmp_path / "conditions", 2, **other)
    with pytest.raises(ValueError, match=r"expected conditions of 5 images in 3 views, got \d in \d in .*conditions"):
        PairedGrids(grids, conditions)
