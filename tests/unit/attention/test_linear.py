import pytest
import torch
from torch import nn

from vqgen.attention import LINEAR_KERNELS, PackedLinear, fastest_linear_kernel, packed_for_inference
from vqgen.attention import linear as linear_module

needs_libraries = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()),
    reason="this build of torch has no MKL or no oneDNN",
)


def small_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(24, 40), nn.ModuleDict({"inner": nn.Linear(40, 8, bias=False)})["inner"], nn.Dropout()
    )


@needs_libraries
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (1, 1, 24), (8, 1, 24), (2, 5, 24)])
@pytest.mark.parametrize("kernel", ["mkl", "onednn"])
def test_packed_linear_equals_the_layer_for_any_rows(kernel: str, shape: tuple[int, ...], bias: bool) -> None:
    layer, rows = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        packed = PackedLinear(layer, rows=8, kernel=kernel)(rows)
    torch.testing.assert_close(packed, layer(rows), atol=1e-5, rtol=1e-5)


@needs_libraries
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no bf16 products")
def test_a_layer_in_bf16_is_laid_out_for_onednn() -> None:
    model, rows = small_model().bfloat16(), torch.randn(3, 24).bfloat16()
    fast = packed_for_inference(model, rows=3)
    assert [type(layer) for layer in fast] == [PackedLinear, PackedLinear, nn.Dropout]
    with torch.inference_mode():
        torch.testing.assert_close(fast(rows), model.eval()(rows), atol=0.05, rtol=0.05)


def test_packed_linear_refuses_a_kernel_without_packing() -> None:
    with pytest.raises(ValueError, match="kernel must be 'mkl' or 'onednn', got 'plain'"):
        PackedLinear(nn.Linear(2, 2), rows=1, kernel="plain")


@needs_libraries
def test_packed_for_inference_replaces_the_linear_layers_of_the_copy_alone() -> None:
    model = small_model()
    fast = packed_for_inference(model, rows=2, kernel="onednn")
    assert [type(layer) for layer in fast] == [PackedLinear, PackedLinear, nn.Dropout]
    assert [type(layer) for layer in model] == [nn.Linear, nn.Linear, nn.Dropout]


@pytest.mark.parametrize("kernel", [None, "plain"])
def test_packed_for_inference_switches_dropout_off_in_the_copy_alone(kernel: str | None) -> None:
    model, rows = small_model().train(), torch.randn(2, 24)
    fast = packed_for_inference(model, rows=2, kernel=kernel)
    torch.testing.assert_close(fast(rows), model[1](model[0](rows)), atol=1e-5, rtol=1e-5)
    assert [layer.training for layer in model] == [True, True, True]
    assert not any(layer.training for layer in fast.modules())


def test_packed_for_inference_shares_the_parameters() -> None:
    model = small_model()
    fast = packed_for_inference(model, rows=2, kernel="plain")
    with torch.no_grad():
        model[0].weight.fill_(7.0)
    assert fast[0].weight is model[0].weight


def test_packed_for_inference_leaves_other_precisions_as_they_are() -> None:
    fast = packed_for_inference(small_model().double(), rows=2, kernel="onednn")
    assert type(fast[0]) is nn.Linear


def test_packed_for_inference_refuses_an_unknown_kernel() -> None:
    with pytest.raises(ValueError, match="one of plain, mkl, onednn, gemv, got 'cublas'"):
        packed_for_inference(small_model(), rows=1, kernel="cublas")


def test_fastest_linear_kernel_follows_the_processor_and_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(linear_module.torch._C, "_has_mkldnn", True)
    monkeypatch.setattr(linear_module.torch._C, "has_mkl", True)
    monkeypatch.setattr(linear_module, "processor_is_intel", lambda: True)
    monkeypatch.setattr(linear_module, "gemv_is_faster", lambda: False)
    assert [fastest_linear_kernel(rows) for rows in (1, 8, 1000)] == ["plain", "mkl", "plain"]
    assert fastest_linear_kernel(8, varying=True) == "plain"
    assert fastest_linear_kernel(8, torch.float64) == "plain"
    monkeypatch.setattr(linear_module, "processor_is_intel", lambda: False)
    assert [fastest_linear_kernel(rows) for rows in (1, 8, 1000)] == ["onednn"] * 3
    assert [fastest_linear_kernel(rows, torch.bfloat16) for rows in (33, 1000)] == ["plain"] * 2
    monkeypatch.setattr(linear_module, "gemv_is_faster", lambda: True)
    monkeypatch.setattr(linear_module, "gemv_hindrance", lambda: None)
    assert [fastest_linear_kernel(rows) for rows in (1, 4, 5, 1000)] == ["gemv", "gemv", "onednn", "onednn"]
    assert [fastest_linear_kernel(rows, torch.int8) for rows in (1, 9, 1000)] == ["gemv"] * 3
    assert [fastest_linear_kernel(2, dtype, varying=True) for dtype in (torch.float32, torch.int8)] == [
        "onednn",
        "gemv",
    ]
    monkeypatch.setattr(linear_module, "gemv_hindrance", lambda: "there is no compiler")
    assert fastest_linear_kernel(1) == "onednn"
    assert fastest_linear_kernel(1, torch.int8) == "plain"
    monkeypatch.setattr(linear_module.platform, "machine", lambda: "arm64")
    assert [fastest_linear_kernel(rows) for rows in (1, 8, 1000)] == ["plain", "plain", "plain"]


def test_fastest_linear_kernel_is_one_of_those_there_are() -> None:
    assert {fastest_linear_kernel(rows) for rows in (1, 2, 8, 64)} <= set(LINEAR_KERNELS)


def test_fastest_linear_kernel_refuses_no_rows() -> None:
    with pytest.raises(ValueError, match="rows must be >= 1, got 0"):
        fastest_linear_kernel(0)


def test_layers_elsewhere_than_on_the_cpu_ask_for_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_module, "gemv_is_faster", lambda: True)
    monkeypatch.setattr(linear_module, "gemv_hindrance", lambda: pytest.fail("kernels were built for nothing"))
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, device="meta"))
    assert packed_for_inference(model, rows=1)[0] is not None
