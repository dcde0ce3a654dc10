import pytest
import torch
from torch import nn

from vqgen.prior.root_mean_square import RMSNorm


def both(dim: int = 24) -> tuple[RMSNorm, nn.RMSNorm]:
    ours, theirs = RMSNorm(dim), nn.RMSNorm(dim)
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("gradients", [True, False])
def test_rms_norm_equals_torch_s_own_for_rows_of_any_size(scale: float, gradients: bool) -> None:
    ours, theirs = both()
    rows = torch.randn(2, 3, 24) * scale
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(ours(rows), theirs(rows))


def test_rms_norm_does_not_change_its_input() -> None:
    ours, rows = both()[0], torch.randn(2, 24)
    before = rows.clone()
    with torch.no_grad():
        ours(rows)
    assert torch.equal(rows, before)


def test_rms_norm_keeps_double_precision_and_saves_its_gain_alone() -> None:
    ours = both()[0].double()
    with torch.no_grad():
        assert ours(torch.randn(2, 24, dtype=torch.float64)).dtype == torch.float64
    assert list(ours.state_dict()) == ["weight"]


def test_rms_norm_s_gradients_equal_those_of_its_definition() -> None:
    ours = RMSNorm(5).double()
    nn.init.normal_(ours.weight)
    rows = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, (rows,))
    theirs = nn.RMSNorm(5).double()
    theirs.load_state_dict(ours.state_dict())
    pulled = torch.randn(2, 3, 5, dtype=torch.float64)
    for first, second in zip(
        torch.autograd.grad((ours(rows) * pulled).sum(), (rows, ours.weight)),
        torch.autograd.grad((theirs(rows) * pulled).sum(), (rows, theirs.weight)),
        strict=True,
    ):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-6)  # torch's epsilon is float64's here


def test_rms_norm_stays_in_a_low_precision() -> None:
    assert RMSNorm(8).bfloat16()(torch.randn(2, 8).bfloat16()).dtype == torch.bfloat16
