"""The programs under scripts/: what they write, and their status and message where they refuse."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_pipeline import GROUPS, make_tiny_pipeline

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.conditioning import TextEncoder, train_vocabulary
from vqgen.data import Caption, CodeGrids, SyntheticImages
from vqgen.data.code_grids import write_code_grids
from vqgen.data.codes_alone import write_captions
from vqgen.pictures import GAP

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_pipeline("hilbert").save_pretrained(tmp_path_factory.mktemp("runs") / "tiny")


def run(script, *arguments):
    """Run a script as its own program, in this process: it has torch loaded already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")


def test_sample_draws_a_picture_of_the_asked_class(folder, tmp_path):
    assert "animals-nature" in GROUPS
    options = [
        "--n",
        "16",
        "--condition",
        "animals-nature",
        "--temperature",
        "1.0",
        "--top-k",
        "100",
        "--out",
        "samples.png",
    ]
    command = [sys.executable, str(ROOT / "scripts" / "sample.py"), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "wrote samples.png\n"
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (8 * (64 + GAP) + GAP, 2 * (64 + GAP) + GAP)
        assert len(set(picture.convert("L").tobytes())) > 10


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("tiny", ["--condition", "unicorns"], "unknown class 'unicorns'; expected one of: smileys-emotion"),
        ("tiny", ["--order", "raster"], "trained in the order 'hilbert' and knows no other, got 'raster'"),
        ("nothing", [], "`vqgen fit` writes one"),
    ],
)
def test_sample_refuses_with_status_2(folder, tmp_path, monkeypatch, capsys, name, options, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run("sample.py", folder.with_name(name), *options)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("vqgen: error: ")
    assert expected in printed.err
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_tokenize_images_writes_codes_that_a_prior_can_be_trained_on(folder, tmp_path, capsys):
    source = ["--source", "SyntheticImages", "--source.count", "8", "--source.size", "64"]
    models = ["--tokenizer", folder / "tokenizer"]
    run("tokenize_images.py", *models, *source, "--out", tmp_path / "codes", "--views", "2")
    assert "wrote" in capsys.readouterr().out
    tokenizer = Tokenizer.from_pretrained(folder / "tokenizer")
    grids = CodeGrids(tmp_path / "codes" / "train", tokenizer=tokenizer.fingerprint())
    assert (len(grids), grids.views, grids.grid_size) == (8, 2, (8, 8))
    images = SyntheticImages(8, 64).split("train")
    assert torch.equal(grids.batch([3]).codes, tokenizer.encode(images.batch([3]).images))


def test_tokenize_images_of_a_missing_tokenizer_says_so(tmp_path, capsys):
    models = ["--tokenizer", tmp_path / "nothing"]
    with pytest.raises(SystemExit) as stop:
        run("tokenize_images.py", *models, "--source", "SyntheticImages", "--out", tmp_path / "codes")
    assert stop.value.code == 2
    assert f"found no {tmp_path / 'nothing'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_train_writes_the_folder_that_the_config_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("train.py", "--config", ROOT / "configs" / "tokenizer" / "smoke.yaml", "--trainer.max_steps", "2")
    tokenizer = Tokenizer.from_pretrained("runs/smoke/tokenizer")
    assert tokenizer.metadata["image_size"] == [16, 16]
    assert tokenizer.encode(torch.zeros(1, 3, 16, 16)).shape == (1, *tokenizer.grid_size((16, 16)))


def test_rank_captions_of_codes_alone_writes_ranks_and_says_what_they_are(tmp_path, capsys):
    words = ("red", "green", "blue", "apple", "book", "car")
    training = tuple(Caption(f"{look} {thing}") for look in words[:3] for thing in words[3:] if look != "blue")
    held_out = (Caption("blue apple"), Caption("blue book"), Caption("unknown pear"), Caption("blue red"))
    training += (Caption("blue car"),)
    pipeline = make_tiny_pipeline()
    torch.manual_seed(0)
    told = TextEncoder(train_vocabulary([each.text for each in training], size=280), 16, length=6, depth=1)
    prior = Prior(128, height=8, width=8, dim=16, depth=1, heads=2, conditioner=told)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    Pipeline(pipeline.tokenizer, prior, pipeline.order).save_pretrained(tmp_path / "model")
    for split, captions in (("train", training), ("validation", held_out)):
        codes, labels = torch.randint(128, (len(captions), 8, 8)), torch.full((len(captions),), -1)
        facts = {"codebook_size": 128, "image_size": (64, 64), "class_names": (), "source": "made"}
        facts |= {"views": 1, "grid_size": (8, 8), "tokenizer": pipeline.tokenizer.fingerprint()}
        write_code_grids(tmp_path / "codes" / split, [codes], labels, **facts)
        write_captions(tmp_path / "codes" / split / "captions.json", captions)
    options = ["--codes", tmp_path / "codes", "--candidates", 3, "--out", tmp_path / "ranks.json"]
    run("rank_captions.py", tmp_path / "model", *options)
    out, ranks = capsys.readouterr().out, json.loads((tmp_path / "ranks.json").read_text())
    assert "3 captions of 4, such as blue apple, blue book, blue red" in out
    assert ranks["captions"] == 3
    assert all(1 <= ranks[by]["mean"] <= 3 for by in ("information", "likelihood", "caption"))
    assert ranks["information"]["chance"] == 2.0
