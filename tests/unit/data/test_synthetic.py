import pytest
import torch

from vqgen.data import SyntheticImages
from vqgen.data.synthetic import SHAPES, draw_shapes


def test_classes_are_shapes_and_all_occur() -> None:
    train = SyntheticImages(60, 16, num_classes=6).split("train")
    assert SyntheticImages(num_classes=6).class_names == SHAPES
    assert train.labels.bincount().tolist() == [10] * 6


def test_without_classes_there_are_no_labels() -> None:
    assert set(SyntheticImages(8, num_classes=0).split("train").labels.tolist()) == {-1}


def test_the_seed_decides_everything_and_a_longer_set_begins_alike() -> None:
    first = SyntheticImages(8, 16).split("train").images
    assert torch.equal(first, SyntheticImages(8, 16).split("train").images)
    assert not torch.equal(first, SyntheticImages(8, 16, seed=1).split("train").images)
    assert torch.equal(first, SyntheticImages(20, 16).split("train").images[:8])


def test_splits_differ() -> None:
    source = SyntheticImages(40, 24)
    both = torch.cat([source.split("train").images, source.split("validation").images]).flatten(1)
    assert len(both.unique(dim=0)) == len(both) == 50


def test_every_shape_is_itself() -> None:
    masks = draw_shapes(torch.arange(6), torch.full((6, 3), 0.5), (32, 32)).flatten(1).float()
    shared = masks @ masks.T
    union = masks.sum(1)[:, None] + masks.sum(1)[None] - shared
    assert ((shared / union).fill_diagonal_(0) < 0.9).all()
    assert (masks.mean(1) > 0.03).all()


def test_shapes_lie_within_the_image() -> None:
    chances = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    masks = draw_shapes(torch.ones(200, dtype=torch.int64), chances, (20, 30))
    sides = masks.any(2).sum(1) - masks.any(1).sum(1)
    assert sides.abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"count": 0}, "count must be >= 1, got 0"), ({"num_classes": 7}, r"num_classes must lie in \[0, 6\].*got 7")],
)
def test_out_of_range_arguments_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticImages(**options)
