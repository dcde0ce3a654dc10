"""What is made of benchmarks/results: readings, the picture, and the warning when a ratio to the peers falls."""

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks are not part of an installed package")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def training(ours: float, **rows: float) -> dict:
    rates = {"vqgen": ours, "minGPT": 50.0, "GPT-2": 100.0, **rows}
    return {
        "conditions": "here",
        "limit": {"fp32": {"tokens_per_second": 400.0}},
        "results": [
            {"contestant": name, "precision": "fp32", "tokens_per_second": [rate, rate * 1.5, rate / 2]}
            for name, rate in rates.items()
        ],
    }


def test_recorded_results_are_read() -> None:
    readings = import_module("readings")
    for name in ("sampling", "order", "tokenizer"):
        found = readings.read(name, json.loads((BENCHMARKS / "results" / f"{name}.json").read_text()))
        assert {each.ours for each in found} == {True, False}
        assert all(min(each.rates) > 0 for each in found)


def test_readings_of_a_gpu_are_read_like_those_of_a_cpu() -> None:
    readings = import_module("readings")
    assert readings.read("training-cuda", training(250)) == readings.read("training", training(250))
    assert readings.read("groups", []) == []


def test_ratios_are_to_the_fastest_peer_of_the_same_comparison() -> None:
    readings = import_module("readings")
    found = readings.read("training", training(250))
    assert [each.limit for each in found] == [400.0] * 3
    assert readings.against_peers(found) == {("training, fp32", "vqgen"): 2.5}


def test_results_of_another_form_are_refused_with_what_to_do() -> None:
    readings = import_module("readings")
    with pytest.raises(ValueError, match=r"training\.json has another form than benchmarks/training\.py .*; run it"):
        readings.read("training", {"results": [{"contestant": "vqgen"}]})


def check(monkeypatch, capsys, tmp_path, *, then, now) -> str:
    """Printed by regression.py, as if the last commit and the working tree had these results of training."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "training.json").write_text(json.dumps(now))
    recording = import_module("recording")
    monkeypatch.setattr(recording, "ROOT", tmp_path)
    monkeypatch.setattr(recording, "RESULTS", tmp_path / "results")
    committed = {"HEAD:results/training.json": "" if then is None else json.dumps(then)}
    monkeypatch.setattr(recording, "git", lambda command, what: committed[what])
    monkeypatch.setattr(sys, "argv", ["regression.py"])
    runpy.run_path(str(BENCHMARKS / "regression.py"), run_name="__main__")
    return " ".join(capsys.readouterr().out.split())


def test_regression_warns_when_a_ratio_falls(monkeypatch, capsys, tmp_path) -> None:
    # Twice as fast as before, as the peers are too: the ratio to the fastest of them went from 2.5 to 2.
    now = training(400, **{"minGPT": 150.0, "GPT-2": 200.0})
    printed = check(monkeypatch, capsys, tmp_path, then=training(250), now=now)
    assert "2.50x │ 2.00x │ -20% │ SLOWER" in printed
    assert "warning: 1 ratios to the fastest peer fell by more than 10% since HEAD" in printed


def test_regression_is_quiet_about_what_the_machine_did(monkeypatch, capsys, tmp_path) -> None:
    now = training(120, **{"minGPT": 20.0, "GPT-2": 50.0})
    printed = check(monkeypatch, capsys, tmp_path, then=training(250), now=now)
    assert "2.50x │ 2.40x │ -4%" in printed
    assert "no ratio to the fastest peer fell" in printed


@pytest.mark.parametrize("then", [None, {"results": "of an older form"}])
def test_regression_takes_results_without_a_past_for_new(monkeypatch, capsys, tmp_path, then) -> None:
    printed = check(monkeypatch, capsys, tmp_path, then=then, now=training(250))
    assert "2.50x │ │ new" in printed
    assert "no ratio to the fastest peer fell" in printed


def test_regression_names_the_processors_where_they_differ(monkeypatch, capsys, tmp_path) -> None:
    then, now = ({**training(250), "processor": name} for name in ("one", "another"))
    printed = check(monkeypatch, capsys, tmp_path, then=then, now=now)
    assert "training (on one then, on another now, which alone may be the reason)" in printed


def test_picture_tells_limits_beyond_its_scale_in_numbers(tmp_path) -> None:
    plot = import_module("plot")
    found = training(250)
    found["limit"]["fp32"]["tokens_per_second"] = 3000.0
    (tmp_path / "training.json").write_text(json.dumps(found))
    (axes,) = plot.draw(plot.collect(tmp_path)).subfigs[0].axes
    assert axes.get_xlim()[1] < 1000
    assert axes.texts[0].get_text() == "250   limit 3,000"


def test_picture_has_a_panel_for_each_comparison_that_is_there(tmp_path) -> None:
    plot = import_module("plot")
    (tmp_path / "training.json").write_text(json.dumps(training(250)))
    figure = plot.draw(plot.collect(tmp_path))
    (axes,) = figure.subfigs[0].axes
    assert axes.get_title("left") == "training, fp32: tokens/s"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["vqgen", "minGPT", "GPT-2"]
    assert [bar.get_width() for bar in axes.patches] == [250, 50, 100]


def test_picture_without_results_says_what_is_missing(tmp_path) -> None:
    plot = import_module("plot")
    with pytest.raises(ValueError, match="expected results of sampling, tokenizer, training, got none to draw"):
        plot.draw(plot.collect(tmp_path))
