import platform

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen import processor
from vqgen.attention import Linear, PackedLinear, packed_for_inference, product, with_layers

needs_onednn = pytest.mark.skipif(not torch._C._has_mkldnn, reason="torch is built without oneDNN")


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what oneDNN is asked to multiply, on a processor on which it is faster."""
    shapes: list[tuple[int, ...]] = []
    real = product._multiply

    def noting(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        shapes.append(tuple(rows.shape))
        return real(rows, weight, bias)

    monkeypatch.setattr(product, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(product, "_multiply", noting)
    return shapes


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64, 24), (3, 40, 24), (2, 3, 20, 24)])
def test_outputs_and_gradients_are_those_of_the_layer(
    shape: tuple[int, ...], bias: bool, multiplied: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    layer = Linear(24, 40, bias=bias)
    plain = nn.Linear(24, 40, bias=bias)
    plain.load_state_dict(layer.state_dict())
    rows, weights = torch.randn(shape), torch.randn(*shape[:-1], 40)
    found, expected = [], []
    for each, results in ((layer, found), (plain, expected)):
        asked = rows.clone().requires_grad_()
        output = each(asked)
        (output * weights).transpose(0, -2).sum().backward()
        results += [output, asked.grad, *(parameter.grad for parameter in each.parameters())]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert multiplied == [shape, (rows.numel() // 24, 40)]


@needs_onednn
def test_what_needs_no_gradient_gets_none(multiplied: list[tuple[int, ...]]) -> None:
    layer, rows = Linear(8, 4), torch.randn(100, 8)
    layer(rows).sum().backward()  # of inputs that are data
    assert layer.weight.grad is not None
    assert multiplied == [(100, 8)]
    frozen = Linear(8, 4).requires_grad_(False)
    asked = rows.clone().requires_grad_()
    frozen(asked).sum().backward()
    torch.testing.assert_close(asked.grad, frozen.weight.sum(dim=0).expand(100, -1))
    with torch.no_grad():
        assert not layer(asked).requires_grad


@needs_onednn
def test_gradients_that_do_not_lie_in_one_piece(multiplied: list[tuple[int, ...]]) -> None:
    layer, rows = Linear(8, 4), torch.randn(2, 50, 8).transpose(0, 1).requires_grad_()
    layer(rows).sum().backward()  # an expanded number
    expected = layer.weight.sum(dim=0).expand(50, 2, -1)
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, expected)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, rows.detach().sum(dim=(0, 1)).expand(4, -1), atol=1e-4, rtol=1e-4)


@needs_onednn
def test_elsewhere_it_is_the_plain_layer(multiplied: list[tuple[int, ...]]) -> None:
    layer = Linear(8, 4)
    torch.testing.assert_close(layer(torch.ones(63, 8)), F.linear(torch.ones(63, 8), layer.weight, layer.bias))
    assert layer.double()(torch.ones(100, 8).double()).dtype == torch.float64
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(100, 8)).dtype == torch.bfloat16
    assert Linear(8, 4, device="meta")(torch.ones(100, 8, device="meta")).shape == (100, 4)
    assert not multiplied


def test_the_rule_names_processors_and_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = product.onednn_is_faster.__wrapped__
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(processor, "processor_is_intel", lambda: False)
    monkeypatch.delenv("VQGEN_RUNTIME", raising=False)
    assert rule() == torch._C._has_mkldnn
    monkeypatch.setenv("VQGEN_RUNTIME", "off")
    assert not rule()
    monkeypatch.delenv("VQGEN_RUNTIME")
    monkeypatch.setattr(processor, "processor_is_intel", lambda: True)
    assert not rule()


@needs_onednn
def test_it_is_packed_and_replaced_like_any_linear_layer() -> None:
    module = nn.Sequential(Linear(8, 4))
    assert type(packed_for_inference(module, rows=1, kernel="onednn")[0]) is PackedLinear
    assert type(with_layers(module, lambda layer: nn.Identity())[0]) is nn.Identity
