import pytest
import torch
from torch import nn

from vqgen.attention import Int8Linear, int8, int8_hindrance
from vqgen.attention import int8_hindrance as hindrance_here

needs_int8 = pytest.mark.skipif(hindrance_here() is not None, reason=str(hindrance_here()))


@needs_int8
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 96), (3, 1, 96), (2, 5, 96), (70, 96)])
def test_products_of_integers_are_near_the_layer_for_any_rows(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, rows = nn.Linear(96, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        found, expected = Int8Linear(layer)(rows), layer(rows)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.012 * expected.norm()
    assert not torch.equal(found, expected)


@needs_int8
def test_no_rows_give_no_rows() -> None:
    assert Int8Linear(nn.Linear(96, 40))(torch.zeros(2, 0, 96)).shape == (2, 0, 40)


@needs_int8
@pytest.mark.parametrize("vnni", [True, False])
def test_it_computes_what_rounding_by_hand_gives(vnni: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "processor_has_vnni", lambda: vnni)
    torch.manual_seed(1)
    layer, rows, levels = nn.Linear(64, 8), torch.randn(5, 64), 127 if vnni else 63
    scale = layer.weight.abs().amax(1, keepdim=True) / 127
    largest = rows.abs().amax(1, keepdim=True)
    weights = (layer.weight / scale).round() * scale
    inputs = (rows / largest * levels).round() / levels * largest
    torch.testing.assert_close(Int8Linear(layer)(rows), inputs @ weights.T + layer.bias, atol=1e-5, rtol=1e-5)


@needs_int8
def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    layer = Int8Linear(nn.Linear(64, 32))
    rows = torch.randn(6, 64) * torch.tensor([1.0, 1e-3, 50.0, 0.0, 1.0, 2.0])[:, None]
    together = layer(rows)
    assert all(torch.equal(layer(rows[i : i + 1])[0], together[i]) for i in range(6))
    assert together.isfinite().all()


@needs_int8
def test_the_largest_numbers_do_not_overflow() -> None:
    layer = nn.Linear(2048, 2, bias=False)
    nn.init.ones_(layer.weight)
    torch.testing.assert_close(Int8Linear(layer)(torch.ones(2, 2048)), torch.full((2, 2), 2048.0))


def test_a_machine_without_the_library_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    assert int8_hindrance() == "this build of torch has no oneDNN, which multiplies them"
    with pytest.raises(ValueError, match="expected a layer and a machine that multiply 8-bit integers, but this build"):
        Int8Linear(nn.Linear(4, 4))


@needs_int8
def test_a_layer_may_have_one_input() -> None:
    layer, rows = nn.Linear(1, 32), torch.randn(9, 1)
    torch.testing.assert_close(Int8Linear(layer)(rows), layer(rows), atol=0.01, rtol=0.01)
