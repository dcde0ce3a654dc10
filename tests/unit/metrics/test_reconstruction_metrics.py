"""PSNR against its definition."""

import pytest
import torch

from vqgen.metrics import psnr


def test_psnr_is_the_mean_over_images_of_the_definition():
    torch.manual_seed(0)
    x, y = torch.rand(3, 3, 8, 8) * 2 - 1, torch.rand(3, 3, 8, 8) * 2 - 1
    metric = psnr()
    metric.update(x[:1], y[:1])
    metric.update(x[1:], y[1:])
    expected = (10 * (4 / (x - y).square().mean((1, 2, 3))).log10()).mean()
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-4)
