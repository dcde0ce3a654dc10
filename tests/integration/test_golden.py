"""A folder written by an earlier version loads, and means what it meant."""

import json
import sys
from pathlib import Path

import pytest
import torch

from vqgen import Pipeline

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))

from make import image  # noqa: E402

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def test_golden_folder_gives_the_same_codes():
    pipeline = Pipeline.from_pretrained(GOLDEN / "pipeline")
    assert pipeline.tokenizer.encode(image())[0].tolist() == EXPECTED["codes"]


def test_golden_folder_gives_the_same_likelihood():
    pipeline = Pipeline.from_pretrained(GOLDEN / "pipeline")
    result = pipeline.log_likelihood(image(), "b")
    assert torch.allclose(result.nats[0], torch.tensor(EXPECTED["nats"], dtype=torch.float64), atol=1e-4)
    assert pipeline.order.name == "hilbert"
    assert pipeline.class_names == ("a", "b", "c")


@pytest.mark.parametrize("part", ["tokenizer", "prior"])
def test_golden_folder_is_written_again_as_it_is(tmp_path, part):
    Pipeline.from_pretrained(GOLDEN / "pipeline").save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / part / name).read_bytes() == (GOLDEN / "pipeline" / part / name).read_bytes()
