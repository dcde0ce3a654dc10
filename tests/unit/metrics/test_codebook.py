"""Codebook use against hand-counted cases."""

import math

import pytest
import torch

from vqgen.metrics import CodebookUsage, codebook_use


def test_perplexity_of_a_known_distribution():
    use = codebook_use(torch.tensor([3, 1, 0, 0]))
    assert use.used == 2
    assert use.dead == 2
    assert use.share == 0.5
    assert use.perplexity == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))), abs=1e-5)


def test_counts_add_up_over_batches():
    usage = CodebookUsage(4)
    usage.update(torch.tensor([[[0, 1], [1, 3]]]))
    usage.update(torch.tensor([[[3, 3], [3, 3]]]))
    assert usage.compute().tolist() == [1, 2, 0, 5]


def test_nothing_counted_is_refused():
    with pytest.raises(ValueError, match="at least one code"):
        codebook_use(torch.zeros(4, dtype=torch.int64))
