import pytest
import torch
from torch.nn import functional as F

from vqgen.prior import GeluFeedForward, SwiGLUFeedForward
from vqgen.prior.feed_forward import gated, gelu


def test_gelu_feed_forward_widens_four_times() -> None:
    layer, hidden = GeluFeedForward(8), torch.randn(2, 3, 8)
    assert layer.widen.out_features == 32
    torch.testing.assert_close(layer(hidden), layer.narrow(F.gelu(layer.widen(hidden))))


def test_swiglu_feed_forward_gates_one_half_by_the_other() -> None:
    layer, hidden = SwiGLUFeedForward(64), torch.randn(2, 3, 64)
    gate, value = layer.widen.weight.chunk(2)
    expected = F.linear(F.silu(hidden @ gate.T) * (hidden @ value.T), layer.narrow.weight)
    torch.testing.assert_close(layer(hidden), expected)


def test_swiglu_feed_forward_weighs_about_what_gelu_does() -> None:
    gelu, swiglu = (
        sum(p.numel() for p in layer.parameters()) for layer in (GeluFeedForward(512), SwiGLUFeedForward(512))
    )
    assert abs(swiglu / gelu - 1.0) < 0.03


@pytest.mark.parametrize("rows", [1, 5000])
@pytest.mark.parametrize("gradients", [True, False])
def test_gelu_equals_torch_s_own(rows: int, gradients: bool) -> None:
    hidden = torch.randn(rows, 16) * 3.0
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(gelu(hidden), F.gelu(hidden), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gate_s_gradient_is_what_torch_derives(dtype: torch.dtype) -> None:
    both = (torch.randn(2, 3, 16) * 3.0).to(dtype).requires_grad_()
    gate, value = both.chunk(2, dim=-1)
    expected, result = F.silu(gate) * value, gated(both)
    pulled = torch.randn_like(result)
    assert torch.equal(result, expected)
    (mine,), (theirs,) = (torch.autograd.grad(each, both, pulled) for each in (result, expected))
    torch.testing.assert_close(mine, theirs)
    assert torch.equal(gated(both.detach()), expected)


def test_the_gate_s_gradient_is_right_to_the_last_digit() -> None:
    assert torch.autograd.gradcheck(gated, torch.randn(2, 6, dtype=torch.float64, requires_grad=True))
