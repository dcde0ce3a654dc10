"""What the page says of how it was measured."""

import pytest

from vqgen.compare.page import measured

PLAN = {
    "source": {"class": "vqgen.data.OpenMoji", "arguments": {"size": 64}},
    "tokenizer": {"folder": "runs/tokenizer"},
    "views": 1,
    "prior": {"dim": 8},
    "signals": [["target", "rotary"]],
    "budget": {"steps": 3},
    "batch_size": 2,
    "optimization": {"learning_rate": 0.1},
    "precision": "32-true",
    "seeds": [0],
    "validation_images": None,
    "quality": {"images": 0},
}


@pytest.mark.parametrize(("source", "credited"), [("vqgen.data.OpenMoji", True), ("vqgen.data.MadeShapes", False)])
def test_the_licence_of_openmoji_stands_wherever_its_images_do(source, credited):
    rows = dict(measured({**PLAN, "source": {"class": source, "arguments": {}}}, {}, {}))
    assert ("CC BY-SA 4.0" in rows.get("Licence of the images", "")) is credited
    assert rows["Validation images"] == "all"
