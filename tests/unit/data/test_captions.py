from pathlib import Path

import pytest
import torch
from torch import Tensor

from vqgen.conditioning import Vocabulary
from vqgen.data import Caption, Captions, CodesAlone, OpenMoji, SyntheticImages, of_known_words
from vqgen.data.code_data import CodeDataModule
from vqgen.data.codes_alone import read_captions
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer

SOURCE = SyntheticImages(12, (16, 24), num_classes=3)
CAPTIONS = Captions(length=10, vocabulary_size=300, tags=1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8}
    made = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=16, dim=4)).eval()
    return made.save_pretrained(tmp_path_factory.mktemp("tokenizer") / "saved")


def data_of(tokenizer: Path, folder: Path, **settings) -> CodeDataModule:
    data = CodeDataModule(tokenizer, SOURCE, **{"captions": CAPTIONS, "batch_size": 4, "cache": folder, **settings})
    data.prepare_data()
    data.setup("fit")
    return data


def read(data: CodeDataModule, tokens: Tensor) -> list[str]:
    return Vocabulary(data.vocabulary).decode(tokens)


def test_tags_join_a_caption_at_random_by_the_number_of_the_draw() -> None:
    apple, plain = Caption("red apple", ("fruit", "food", "core")), Caption("book")
    options, draws = Captions(tags=2), range(3000)
    texts = options.varied([apple] * 3000, seed=0, draws=draws)
    shares = [sum(text.count(",") == tags for text in texts) / 3000 for tags in range(4)]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=0.04)
    assert len({text for text in texts if text.count(",") == 2}) == 6  # any two, in any order
    assert options.varied([plain, apple], seed=0, draws=[5, 7]) == ["book", texts[7]]
    assert options.varied([apple] * 50, seed=1, draws=range(50)) != texts[:50]
    assert set(Captions(tags=0).varied([apple] * 50, seed=0, draws=range(50))) == {"red apple"}


def test_validation_gives_the_captions_of_its_images_without_tags(tokenizer: Path, tmp_path: Path) -> None:
    data = data_of(tokenizer, tmp_path)
    (batch,) = data.val_dataloader()
    assert read(data, batch.captions) == [caption.text for caption in SOURCE.captions("validation")]
    assert batch.captions.shape == (3, 10)
    assert batch.codes.shape == (3, 8, 12)


def test_training_gives_each_image_its_own_caption(tokenizer: Path, tmp_path: Path) -> None:
    data = data_of(tokenizer, tmp_path, views=2)
    names, tagged = SOURCE.class_names, 0
    for batch in [batch for _ in range(4) for batch in data.train_dataloader()]:
        for text, label in zip(read(data, batch.captions), batch.labels.tolist(), strict=True):
            assert text in (f"coloured {names[label]}", f"coloured {names[label]}, shape")
            tagged += text.endswith("shape")
    assert 10 < tagged < 38  # of 48


@pytest.mark.parametrize("num_workers", [0, 1])
def test_captions_after_a_state_are_those_that_would_have_followed(
    tokenizer: Path, tmp_path: Path, num_workers: int
) -> None:
    data = data_of(tokenizer, tmp_path, views=2)
    whole = [batch for loader in [data.train_dataloader()] for _ in range(2) for batch in loader]
    stopped = data.train_dataloader()
    batches = iter(stopped)
    next(batches), next(batches)
    data.num_workers = num_workers
    resumed = data.train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    rest = [batch for _ in range(2) for batch in resumed][:4]
    for expected, found in zip(whole[2:6], rest, strict=True):
        assert all(map(torch.equal, expected, found))


def test_the_vocabulary_is_of_the_training_captions(tokenizer: Path, tmp_path: Path) -> None:
    data = data_of(tokenizer, tmp_path)
    assert data.vocabulary == CAPTIONS.vocabulary(SOURCE)
    assert len(Vocabulary(data.vocabulary)) <= 300
    assert CodeDataModule(tokenizer, SOURCE, cache=tmp_path).vocabulary is None


def test_codes_can_be_used_without_their_images(tokenizer: Path, tmp_path: Path) -> None:
    data = data_of(tokenizer, tmp_path, codes=tmp_path / "codes", views=2)
    source = CodesAlone(tmp_path / "codes")
    assert source.class_names == SOURCE.class_names
    alone = CodeDataModule(tokenizer, source, captions=CAPTIONS, batch_size=4, codes=tmp_path / "codes", views=2)
    alone.prepare_data()
    alone.setup("fit")
    assert alone.vocabulary == data.vocabulary
    for expected, found in zip(data.train_dataloader(), alone.train_dataloader(), strict=True):
        assert all(map(torch.equal, expected, found))
    with pytest.raises(ValueError, match="holds codes and no images"):
        source.split("train")


def test_damaged_or_missing_captions_are_refused(tokenizer: Path, tmp_path: Path) -> None:
    data = data_of(tokenizer, tmp_path, codes=tmp_path / "codes")
    kept = tmp_path / "codes" / "train" / "captions.json"
    assert read_captions(kept) == SOURCE.captions("train")
    kept.write_text("[1, 2", encoding="utf-8")
    with pytest.raises(ValueError, match=r"captions\.json is damaged"):
        read_captions(kept)
    kept.unlink()
    with pytest.raises(ValueError, match="CodesAlone has no captions; take a source that has"):
        CodeDataModule(tokenizer, CodesAlone(tmp_path / "codes"), captions=CAPTIONS).vocabulary  # noqa: B018
    data.source = SyntheticImages(13, (16, 24), num_classes=3)
    with pytest.raises(ValueError, match="made with the image source"):
        data.captioned("train")
    data.captions = None
    with pytest.raises(ValueError, match=r"no captions; pass captions=Captions\(\)"):
        data.captioned("train")


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="length must be >= 1 and tags >= 0, got length=0 and tags=3"):
        Captions(length=0)


def test_openmoji_says_what_its_drawings_show() -> None:
    source = OpenMoji(64)
    captions = source.captions("train")
    assert len(captions) == len(source.members("train"))
    apple = next(caption for caption in captions if caption.text == "red apple")
    assert "fruit" in apple.tags
    assert not {"red", "apple"} & set(apple.tags)
    known = of_known_words(source.captions("validation"), captions)
    assert 60 < len(known) < 185
