import pytest
import torch
from torch.nn import functional as F

from vqgen.prior import GeluFeedForward, SwiGLUFeedForward
from vqgen.prior.feed_forward import gelu


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
