"""The reconstruction loss against its definition."""

import pytest
import torch

from vqgen.losses import ReconstructionLoss


@pytest.mark.parametrize(("l1", "l2"), [(1.0, 0.0), (0.0, 1.0), (0.5, 2.0)])
def test_loss_is_the_weighted_sum(l1, l2):
    x, y = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = l1 * (x - y).abs().mean() + l2 * (x - y).square().mean()
    assert torch.allclose(ReconstructionLoss(l1, l2)(x, y), expected)


def test_half_precision_is_compared_in_fp32():
    x = torch.full((1, 1, 64, 64), 0.1, dtype=torch.bfloat16)
    assert ReconstructionLoss()(x, torch.zeros(1, 1, 64, 64)).dtype == torch.float32


@pytest.mark.parametrize(("l1", "l2"), [(-1.0, 1.0), (0.0, 0.0)])
def test_impossible_weights_are_refused(l1, l2):
    with pytest.raises(ValueError, match="must be >= 0 and not both 0"):
        ReconstructionLoss(l1, l2)
