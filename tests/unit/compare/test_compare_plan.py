"""Plans: which runs they have, how they are read, and what they refuse."""

import json

import pytest

from vqgen.compare import Budget, Plan, QualityPlan, TokenizerPlan, read_plan
from vqgen.data import SyntheticImages

TEXT = """
folder: out
tokenizer: {folder: tok}
source: {class_path: vqgen.data.SyntheticImages, init_args: {count: 8, size: 16}}
orders: [raster, hilbert]
signals: [[target, rotary], [step]]
seeds: [3, 4]
budget: {steps: 8}
"""


def make(**changes):
    arguments = {"folder": "out", "tokenizer": TokenizerPlan("tok"), "source": SyntheticImages(8, 16)}
    return Plan(**{**arguments, "orders": ["raster", "hilbert"], "budget": Budget(steps=4), **changes})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT)
    return path


def test_runs_cross_orders_signals_and_seeds_with_one_seed_after_the_other(file):
    plan = read_plan(file)
    runs = plan.runs()
    assert [run.index for run in runs] == list(range(8))
    assert [run.seed for run in runs] == [3] * 4 + [4] * 4
    assert len({(run.order, run.signals, run.seed) for run in runs}) == 8
    assert len({run.folder_name for run in runs}) == 8
    assert runs[0].contender == plan.reference_contender == "raster (target + rotary)"
    assert runs[3].contender == "hilbert (step)"
    assert runs[0].folder_name == "raster-target+rotary-seed3"


def test_one_variant_of_signals_is_not_in_the_names():
    assert [run.contender for run in make(seeds=[0]).runs()] == ["raster", "hilbert"]


def test_settings_take_the_place_of_the_file_s(file):
    plan = read_plan(file, ["budget.steps=9", "folder=elsewhere", "quality.extractor=null"])
    assert (plan.budget.steps, plan.folder, plan.quality.extractor) == (9, "elsewhere", None)
    assert isinstance(plan.source, SyntheticImages)


def test_description_is_plain_and_names_the_images(file):
    described = json.loads(json.dumps(read_plan(file).describe()))
    assert described["source"]["class"] == "vqgen.SyntheticImages"
    assert described["source"]["arguments"]["size"] == 16
    assert described["budget"] == {"steps": 8, "tokens": None, "seconds": None}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["budget.tokens=9"], "exactly one of steps, tokens and seconds"),
        (["budget.steps=0"], "> 0"),
        (["nonsense=1"], "is no plan"),
        (["orders=[]"], "orders must list at least one"),
        (["orders=[raster, raster]"], "none of them twice"),
        (["reference=snake"], "reference must be one of the orders"),
        (["quality.images=1"], "images must be >= 2"),
        (["steps"], "name=value"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(file, settings, expected):
    with pytest.raises(ValueError, match=expected):
        read_plan(file, settings)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.yaml"):
        read_plan(tmp_path / "nothing.yaml")


def test_two_orders_that_would_share_a_folder_are_refused():
    with pytest.raises(ValueError, match="share a folder"):
        make(orders=["raster", "a/found.json", "b/found.json"])


def test_tokens_become_whole_steps():
    assert Budget(tokens=1000).steps_of(batch_size=2, cells=64) == 8
    assert Budget(seconds=3.0).steps_of(batch_size=2, cells=64) is None
    assert QualityPlan().extractor == "lite0"
