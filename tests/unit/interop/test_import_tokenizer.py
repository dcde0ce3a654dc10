"""Import by name of the project: from its file to a folder of ours, and a prior trained on it."""

import json
from pathlib import Path

import pytest
import torch
from peers import images, randomise
from reference_vqgan import LlamaGen, MaskGIT
from safetensors.torch import save_file

from vqgen import Pipeline, Tokenizer
from vqgen.cli import main
from vqgen.interop import SOURCES, import_tokenizer

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("llamagen") / "vq_ds2.pt"
    torch.save({"model": randomise(LlamaGen([32, 32])).state_dict(), "steps": 10}, path)
    return path


def test_every_source_is_described():
    assert set(SOURCES) == {"taming", "llamagen", "maskgit", "dalle", "diffusers"}
    assert all(len(source.description) > 10 and source.files for source in SOURCES.values())


def test_an_imported_tokenizer_is_saved_and_read_as_ours(checkpoint, tmp_path):
    tokenizer = import_tokenizer("llamagen", checkpoint)
    again = Tokenizer.from_pretrained(tokenizer.save_pretrained(tmp_path / "tokenizer"))
    assert again.metadata["imported_from"] == {"source": "llamagen", "files": ["vq_ds2.pt"]}
    assert torch.equal(again.encode(images()), tokenizer.encode(images()))


def test_a_wrapped_encoder_is_saved_and_read(tmp_path):
    save_file(randomise(MaskGIT([32, 32])).state_dict(), tmp_path / "maskgit.safetensors")
    tokenizer = import_tokenizer("maskgit", tmp_path / "maskgit.safetensors")
    again = Tokenizer.from_pretrained(tokenizer.save_pretrained(tmp_path / "tokenizer"))
    assert torch.equal(again.decode(again.encode(images())), tokenizer.decode(tokenizer.encode(images())))


def test_a_prior_trains_on_an_imported_tokenizer(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    main(["import", "llamagen", str(checkpoint), "--out", "theirs/tokenizer"])
    flags = [
        "--model.init_args.tokenizer=theirs/tokenizer",
        "--model.init_args.folder=theirs",
        "--model.init_args.order=snake",
        "--data.init_args.source.init_args.size=8",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    main(["fit", "--config", str(CONFIGS / "prior" / "smoke.yaml"), *flags])
    pipeline = Pipeline.from_pretrained("theirs")
    assert pipeline.order.describe()["name"] == "snake"
    assert pipeline.tokenizer.fingerprint() == import_tokenizer("llamagen", checkpoint).fingerprint()
    assert pipeline.generate(2, seed=0).shape == (2, 3, 8, 8)
    assert pipeline.log_likelihood(images()[:, :, :8, :8]).nats.isfinite().all()


def test_command_writes_a_folder(checkpoint, tmp_path, capsys):
    main(["import", "llamagen", str(checkpoint), "--out", str(tmp_path / "tokenizer")])
    assert f"wrote {tmp_path / 'tokenizer'}" in capsys.readouterr().out
    assert Tokenizer.from_pretrained(tmp_path / "tokenizer").codebook_size == 64


def test_help_names_every_source(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    text = capsys.readouterr().out
    assert all(source in text for source in SOURCES)


def test_command_says_what_is_wrong(checkpoint, tmp_path, capsys):
    for arguments, expected in [
        (["taming", str(checkpoint)], "encoder.down.0.block.0.conv1.weight"),
        (["llamagen", str(tmp_path / "no.pt")], "found no file"),
        (["dalle", str(checkpoint)], "expected 2 files for dalle (encoder, decoder), got 1"),
        (["mascgit", str(checkpoint)], "unknown source 'mascgit'; expected one of taming"),
    ]:
        with pytest.raises(SystemExit) as stop:
            main(["import", *arguments, "--out", str(tmp_path / "x")])
        assert stop.value.code == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="unknown source 'other'; expected one of taming, llamagen"):
        import_tokenizer("other", "x.pt")


def test_settings_beside_a_diffusers_file_are_read(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"act_fn": "relu"}))
    with pytest.raises(ValueError, match="act_fn='silu'"):
        import_tokenizer("diffusers", tmp_path / "weights.safetensors")
