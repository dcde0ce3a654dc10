"""Conditions made beside the codes by the data module: `CodeDataModule(condition=...)`."""

from pathlib import Path

import pytest
import torch
from test_code_data import save_tokenizer
from test_label_maps import make_folders, source

from vqgen.conditioning import image_transform
from vqgen.data import SyntheticImages
from vqgen.data.code_data import CodeDataModule
from vqgen.data.grid_condition import ChangedImages, GridCondition, LabelMaps
from vqgen.data.paired import PairedBatch
from vqgen.data.tokenize import ImageViews

SOURCE = SyntheticImages(12, (16, 24), num_classes=3)


def prepared(folder: Path, condition: GridCondition, **options: object) -> CodeDataModule:
    data = CodeDataModule(folder / "tokenizer", SOURCE, batch_size=4, cache=folder, condition=condition, **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.mark.parametrize("transform", ["grey", "low-resolution:4"])
def test_conditions_are_of_the_view_that_the_codes_are_of(tmp_path: Path, transform: str) -> None:
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    data = prepared(tmp_path, ChangedImages(transform), views=4)
    views = ImageViews(SOURCE.split("train"), flip=True, shift=1, seed=0).batch(range(48))
    pairs = data.pairs("train")
    for view in range(4):
        batch = pairs.batch(range(12), [view] * 12)
        images = views[12 * view : 12 * view + 12]
        assert torch.equal(batch.codes, tokenizer.encode(images))
        assert torch.equal(batch.condition, tokenizer.encode(image_transform(transform)(images)))
    assert not torch.equal(batch.codes, batch.condition)


def test_batches_hold_the_condition(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    data = prepared(tmp_path, ChangedImages("grey"))
    (batch,) = data.val_dataloader()
    assert isinstance(batch, PairedBatch)
    assert batch.condition.shape == batch.codes.shape == (3, 8, 12)
    drawn = next(iter(data.train_dataloader()))
    assert isinstance(drawn, PairedBatch)
    assert len(drawn.condition) == 4


def test_a_second_tokenizer_makes_the_condition(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    other = save_tokenizer(tmp_path / "other", seed=1)
    data = prepared(tmp_path, ChangedImages("same", tmp_path / "other"))
    images = SOURCE.split("validation").batch(range(3)).images
    (batch,) = data.val_dataloader()
    assert isinstance(batch, PairedBatch)
    assert torch.equal(batch.condition, other.encode(images))


def test_conditions_are_computed_once_and_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    for transform in ("grey", "low-resolution:2"):
        prepared(tmp_path, ChangedImages(transform))
    (codes,) = (tmp_path / "codes").iterdir()
    assert sorted(path.name.split("-")[0] for path in codes.iterdir()) == [
        "condition",
        "condition",
        "train",
        "validation",
    ]
    monkeypatch.setattr("vqgen.data.code_data.tokenize_images", lambda *_, **__: pytest.fail("encoded again"))
    prepared(tmp_path, ChangedImages("grey"))


def test_label_maps_become_labels_of_cells(tmp_path: Path) -> None:
    make_folders(tmp_path)
    save_tokenizer(tmp_path / "tokenizer")
    images = source(tmp_path, crop="random")
    maps = LabelMaps(tmp_path / "maps", num_labels=5, cell=4)
    data = CodeDataModule(
        tmp_path / "tokenizer", images, batch_size=2, views=3, cache=tmp_path / "cache", condition=maps
    )
    data.prepare_data()
    data.setup("fit")
    assert data.condition_encoder is not None
    assert data.condition_encoder.codebook_size == 6
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, PairedBatch)
    assert batch.condition.shape == (2, 4, 4)
    assert batch.codes.shape == (2, 8, 8)
    assert 0 <= int(batch.condition.min()) <= int(batch.condition.max()) < 5


def test_data_without_conditions_has_no_pairs(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    data = CodeDataModule(tmp_path / "tokenizer", SOURCE, cache=tmp_path)
    assert data.condition_encoder is None
    with pytest.raises(ValueError, match=r"no condition beside its labels; pass condition=, such as ChangedImages\(\)"):
        data.pairs("train")


def test_training_goes_on_with_the_same_pairs(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    loader = prepared(tmp_path, ChangedImages("grey"), views=3).train_dataloader()
    whole = [batch for _ in range(2) for batch in loader]
    stopped = prepared(tmp_path, ChangedImages("grey"), views=3).train_dataloader()
    batches = (batch for _ in range(2) for batch in stopped)
    for _ in range(2):
        next(batches)
    resumed = prepared(tmp_path, ChangedImages("grey"), views=3).train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    rest = [batch for _ in range(2) for batch in resumed][: len(whole) - 2]
    assert len(rest) == 4
    for expected, found in zip(whole[2:], rest, strict=True):
        assert all(map(torch.equal, expected, found))
