"""PSNR and SSIM against their definitions."""

import pytest
import torch
from torch.nn import functional as F

from vqgen.metrics import psnr, ssim


def test_psnr_is_the_mean_over_images_of_the_definition():
    torch.manual_seed(0)
    x, y = torch.rand(3, 3, 8, 8) * 2 - 1, torch.rand(3, 3, 8, 8) * 2 - 1
    metric = psnr()
    metric.update(x[:1], y[:1])
    metric.update(x[1:], y[1:])
    expected = (10 * (4 / (x - y).square().mean((1, 2, 3))).log10()).mean()
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-4)


def test_ssim_is_the_mean_over_images_of_the_definition():
    torch.manual_seed(0)
    x = torch.rand(3, 1, 24, 20) * 2 - 1
    y = (x + 0.3 * torch.randn_like(x)).clamp(-1, 1)
    metric = ssim()
    metric.update(x[:1], y[:1])
    metric.update(x[1:], y[1:])

    offsets = torch.arange(11) - 5.0
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]

    def smooth(images):
        return F.conv2d(F.pad(images, (5, 5, 5, 5), mode="reflect"), window)

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    small, smaller = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    similarity = (2 * mean_x * mean_y + small) * (2 * covariance + smaller)
    similarity /= (mean_x**2 + mean_y**2 + small) * (variance_x + variance_y + smaller)
    assert metric.compute().item() == pytest.approx(similarity.mean().item(), abs=1e-4)
