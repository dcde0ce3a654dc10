from pathlib import Path

import pytest
import torch

from vqgen.data import SyntheticImages
from vqgen.data.code_data import CodeDataModule
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer

SOURCE = SyntheticImages(12, (16, 24), num_classes=3)


def save_tokenizer(folder: Path, seed: int = 0) -> Tokenizer:
    torch.manual_seed(seed)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=16, dim=4)).eval()
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_codes_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    data = CodeDataModule(tmp_path / "tokenizer", SOURCE, batch_size=4, cache=tmp_path)
    data.prepare_data()
    data.setup("fit")
    images, labels = SOURCE.split("validation").batch(range(3))
    (batch,) = data.val_dataloader()
    assert torch.equal(batch.codes, tokenizer.encode(images))
    assert torch.equal(batch.labels, labels)
    train = torch.cat([batch.codes for batch in data.train_dataloader()])
    expected = tokenizer.encode(SOURCE.split("train").batch(range(12)).images)
    assert sorted(train.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_facts_of_source_and_tokenizer_are_passed_on(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    data = CodeDataModule(str(tmp_path / "tokenizer"), SOURCE, cache=tmp_path)
    assert (data.image_size, data.grid_size, data.codebook_size) == ((16, 24), (8, 12), 16)
    assert (data.num_classes, data.class_names, data.channels) == (3, SOURCE.class_names, 3)
    assert data.tokenizer_fingerprint == tokenizer.fingerprint()


def test_codes_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    CodeDataModule(tmp_path / "tokenizer", SOURCE, cache=tmp_path).prepare_data()
    monkeypatch.setattr("vqgen.data.code_data.tokenize_images", lambda *_, **__: pytest.fail("encoded again"))
    CodeDataModule(tmp_path / "tokenizer", SOURCE, cache=tmp_path).prepare_data()
    again = CodeDataModule(tmp_path / "tokenizer", SOURCE, cache=tmp_path)
    again.setup("fit")
    assert len(again.grids("train")) == 12


def test_the_cache_keeps_tokenizers_sources_and_views_apart(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "one", seed=1)
    save_tokenizer(tmp_path / "two", seed=2)
    for data in (
        CodeDataModule(tmp_path / "one", SOURCE, cache=tmp_path),
        CodeDataModule(tmp_path / "two", SOURCE, cache=tmp_path),
        CodeDataModule(tmp_path / "two", SOURCE, views=2, cache=tmp_path),
        CodeDataModule(tmp_path / "two", SyntheticImages(4, 16), cache=tmp_path),
    ):
        data.prepare_data()
        data.setup("fit")
        assert data.grids("train").views == data.views
        assert data.grids("validation").views == 1
    assert len(list((tmp_path / "codes").iterdir())) == 4


def test_codes_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    one = save_tokenizer(tmp_path / "one", seed=1)
    two = save_tokenizer(tmp_path / "two", seed=2)
    CodeDataModule(tmp_path / "one", SOURCE, codes=tmp_path / "codes").prepare_data()
    data = CodeDataModule(tmp_path / "two", SOURCE, codes=tmp_path / "codes")
    data.prepare_data()
    with pytest.raises(ValueError, match=rf"tokenizer {one.fingerprint()}, but .* tokenizer {two.fingerprint()}"):
        data.setup("fit")


def test_codes_of_other_images_or_views_are_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    CodeDataModule(tmp_path / "tokenizer", SOURCE, codes=tmp_path / "codes").prepare_data()
    with pytest.raises(ValueError, match=r"made with the image source .*, but this run has the image source"):
        CodeDataModule(tmp_path / "tokenizer", SyntheticImages(4, 16), codes=tmp_path / "codes").setup("fit")
    with pytest.raises(ValueError, match="have 1 views of each image, this run asks for views=2"):
        CodeDataModule(tmp_path / "tokenizer", SOURCE, codes=tmp_path / "codes", views=2).setup("fit")


def test_a_size_that_the_tokenizer_cannot_divide_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer")
    with pytest.raises(ValueError, match="divisible by the tokenizer's downsampling 2, got 15 x 15"):
        CodeDataModule(tmp_path / "tokenizer", SyntheticImages(4, 15), cache=tmp_path).prepare_data()


def test_every_constructor_argument_is_kept(tmp_path: Path) -> None:
    arguments = {"codes": "c", "views": 2, "flip": False, "batch_size": 3, "num_workers": 1, "seed": 5, "cache": "d"}
    data = CodeDataModule("folder", SOURCE, **arguments)
    assert (data.tokenizer, data.source) == ("folder", SOURCE)
    assert {name: getattr(data, name) for name in arguments} == arguments
