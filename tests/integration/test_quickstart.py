"""The quick start, with little time and made images: what it writes, and what it does not overwrite."""

import json

import pytest
from PIL import Image

from vqgen import Pipeline
from vqgen.cli import main
from vqgen.data import SyntheticImages
from vqgen.training import quickstart as room
from vqgen.training.quickstart import quickstart


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a few seconds."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(room, "PICTURE_SECONDS", 2.0)
        patch.setattr(room, "TRAINING_SECONDS", 5.0)
        return quickstart(folder / "run", minutes=0.25, order="spiral-in", source=SyntheticImages(80, 64))


def test_quickstart_writes_all_it_promises(run):
    written = {path.name for path in run.iterdir()}
    promised = {"tokenizer", "prior", "reconstructions.png", "samples.png", "generation.gif", "metrics.json"}
    assert promised <= written


def test_quickstart_models_make_a_pipeline_in_the_order_asked_for(run):
    pipeline = Pipeline.from_pretrained(run)
    assert pipeline.order.name == "spiral-in"
    assert pipeline.generate(1, pipeline.class_names[0]).shape == (1, 3, 64, 64)


def test_quickstart_metrics_are_figures_of_this_run(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["steps"]["tokenizer"] >= 1
    assert metrics["steps"]["prior"] >= 1
    assert 0 < metrics["validation"]["psnr"] < 60
    assert 0 < metrics["validation"]["nll"] < 20
    assert metrics["order"]["name"] == "spiral-in"


def test_quickstart_pictures_have_a_row_per_class_and_a_frame_per_cell(run):
    with Image.open(run / "samples.png") as samples, Image.open(run / "reconstructions.png") as reconstructions:
        assert samples.height > 1.5 * reconstructions.height
    with Image.open(run / "generation.gif") as gif:
        assert gif.n_frames > 32


def test_quickstart_does_not_overwrite_unasked(run, capsys):
    before = (run / "metrics.json").read_text()
    with pytest.raises(SystemExit) as stopped:
        main(["quickstart", "--out", str(run)])
    assert stopped.value.code == 2
    assert "holds an earlier run; pass --overwrite" in capsys.readouterr().err
    assert (run / "metrics.json").read_text() == before


def test_too_little_time_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected minutes to be at least 0\.53, got 0\.1"):
        quickstart(tmp_path / "run", minutes=0.1)
    assert not (tmp_path / "run").exists()
