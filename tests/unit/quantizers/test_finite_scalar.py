"""Finite scalar quantization against a loop over numbers."""

import itertools
import math

import pytest
import torch

from vqgen.quantizers import FiniteScalarQuantizer


def quantize_number(z: float, levels: int) -> int:
    """Level in [0, levels) of one number, from the definition."""
    half = (levels - 1) / 2 * 1.001
    offset = 0.5 if levels % 2 == 0 else 0.0
    return round(math.tanh(z + math.atanh(offset / half)) * half - offset) + levels // 2


@pytest.mark.parametrize("levels", [(3,), (4,), (8, 5), (3, 4, 7)])
def test_codes_equal_a_loop(levels):
    torch.manual_seed(0)
    quantizer = FiniteScalarQuantizer(levels)
    latents = torch.randn(2, len(levels), 4, 4) * 2
    codes = quantizer.encode(latents)
    for b, row, column in itertools.product(range(2), range(4), range(4)):
        expected, stride = 0, 1
        for z, size in zip(latents[b, :, row, column].tolist(), levels, strict=True):
            expected += quantize_number(z, size) * stride
            stride *= size
        assert codes[b, row, column] == expected


@pytest.mark.parametrize("size", [3, 4, 5, 8, 16])
def test_every_level_is_reached_and_zero_is_one(size):
    quantizer = FiniteScalarQuantizer((size,))
    latents = torch.linspace(-20, 20, 20_001).view(1, 1, 1, -1)
    assert quantizer.encode(latents).unique().tolist() == list(range(size))
    assert quantizer(torch.zeros(1, 1, 1, 1)).latents.item() == 0.0


def test_there_is_no_loss_and_nothing_to_learn():
    quantizer = FiniteScalarQuantizer((8, 5))
    assert quantizer(torch.randn(1, 2, 3, 3)).loss.item() == 0.0
    assert list(quantizer.parameters()) == []
    assert quantizer.state_dict() == {}


@pytest.mark.parametrize("levels", [(), (2, 8), (8, 0)])
def test_too_few_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels must each be >= 3"):
        FiniteScalarQuantizer(levels)
