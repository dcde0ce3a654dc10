"""The recipe: groups, schedule, and progress by whichever limit comes first."""

from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from torch import nn

from vqgen.training import Optimization
from vqgen.training.optimization import progress


def trainer(**limits):
    defaults = {"max_steps": -1, "max_epochs": None, "num_training_batches": 10, "accumulate_grad_batches": 1}
    fake = MagicMock(spec=pl.Trainer)
    for name, value in {**defaults, "callbacks": [], "lightning_module": SimpleNamespace(), **limits}.items():
        setattr(fake, name, value)
    return fake


def test_progress_follows_the_limit_that_comes_first():
    assert progress(trainer(max_steps=100), 25) == 0.25
    assert progress(trainer(max_epochs=4), 10) == 0.25
    assert progress(trainer(max_epochs=4, max_steps=20), 10) == 0.5
    assert progress(trainer(max_epochs=4, accumulate_grad_batches=2), 10) == 0.5
    counts_itself = SimpleNamespace(accumulate=2)
    assert progress(trainer(max_epochs=4, lightning_module=counts_itself), 10) == 0.5
    assert progress(trainer(max_steps=10), 50) == 1.0


def test_progress_follows_the_clock(monkeypatch):
    timer = Timer(timedelta(seconds=100))
    monkeypatch.setattr(timer, "time_elapsed", lambda stage: 30.0)
    monkeypatch.setattr(timer, "time_remaining", lambda stage: 70.0)
    assert progress(trainer(max_steps=1000, callbacks=[timer]), 10) == pytest.approx(0.3)


def test_nothing_limits_a_run_without_limits():
    assert progress(trainer(), 10**6) == 0.0


def test_cosine_rises_linearly_and_falls_to_its_floor():
    factor = Optimization(warmup_steps=10, final_fraction=0.1).factor(trainer(max_steps=1000))
    assert factor(0) == pytest.approx(0.1, abs=1e-3)
    assert factor(9) == pytest.approx(1.0, abs=1e-3)
    assert factor(500) == pytest.approx(0.55)
    assert factor(1000) == pytest.approx(0.1)


def test_constant_stays_after_the_warmup():
    factor = Optimization(schedule="constant", warmup_steps=4).factor(trainer(max_steps=10))
    assert [factor(step) for step in (0, 3, 10)] == [0.25, 1.0, 1.0]


def test_groups_hold_every_parameter_once_and_biases_do_not_decay():
    convolutions = [nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3)]
    model = nn.Sequential(*convolutions, nn.Embedding(5, 4), nn.Linear(4, 2))
    groups = Optimization(optimizer="muon", weight_decay=0.3).parameter_groups(model, [model[0], model[4]])
    hidden, edge, rest = groups
    assert [id(p) for p in hidden["params"]] == [id(model[2].weight)]
    assert {id(p) for p in edge["params"]} == {id(model[0].weight), id(model[4].weight)}
    assert (hidden["muon"], edge.get("muon", False), rest.get("muon", False)) == (True, False, False)
    assert (hidden["weight_decay"], edge["weight_decay"], rest["weight_decay"]) == (0.3, 0.3, 0.0)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_build_makes_a_scheduler_that_steps_every_step():
    model = nn.Linear(3, 3)
    made = Optimization(learning_rate=0.5, warmup_steps=2).build(model, [], pl.Trainer(max_steps=10, logger=False))
    assert made["lr_scheduler"]["interval"] == "step"
    assert made["optimizer"].param_groups[0]["lr"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"weight_decay": -1.0}, "weight_decay and warmup_steps >= 0"),
        ({"final_fraction": 1.5}, r"final_fraction must be in \[0, 1\]"),
    ],
)
def test_impossible_recipes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Optimization(**arguments)


def test_the_number_of_newton_schulz_steps_reaches_muon():
    model = nn.Linear(4, 4)
    built = Optimization(optimizer="muon", newton_schulz_steps=3).build(model, [], trainer(max_steps=1))
    assert built["optimizer"].param_groups[0]["newton_schulz_steps"] == 3
    with pytest.raises(ValueError, match="newton_schulz_steps must be >= 1, got 0"):
        Optimization(newton_schulz_steps=0)
