"""The classifier of benchmarks/classes.py, on made features."""

import runpy
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "classes.py"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="benchmarks are not part of an installed package")


def clouds(counts, *, seed):
    """Directions scattered around one axis a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    noise = 0.3 * torch.randn(len(labels), 8, generator=generator)
    return F.normalize(F.one_hot(labels, 8) + noise, dim=1), labels


def test_the_classifier_tells_classes_apart_that_can_be():
    program = runpy.run_path(str(PROGRAM))
    classifier = program["fit_classifier"](*clouds([200, 20, 20], seed=0), 3)
    found = program["confusion"](classifier, *clouds([50, 50, 50], seed=1))
    assert found.sum(1).allclose(torch.ones(3))
    assert found.diagonal().min() > 0.9  # the rare classes too


def test_of_noise_it_knows_nothing():
    program = runpy.run_path(str(PROGRAM))
    inputs, labels = clouds([200, 200, 200], seed=0)
    shuffled = inputs[torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))]
    classifier = program["fit_classifier"](shuffled, labels, 3)
    found = program["confusion"](classifier, *clouds([100, 100, 100], seed=1))
    assert found.diagonal().mean() == pytest.approx(1 / 3, abs=0.15)
