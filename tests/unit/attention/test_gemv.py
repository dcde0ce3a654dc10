import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vqgen import processor
from vqgen.attention import (
    DenseAttention,
    DenseReach,
    GemvAttention,
    GemvInt8Linear,
    GemvLinear,
    Int8Linear,
    KVCache,
    gemv,
    gemv_hindrance,
    gemv_is_faster,
    int8_hindrance,
    linear,
    packed_for_inference,
)

needs_gemv = pytest.mark.skipif(gemv_hindrance() is not None, reason=str(gemv_hindrance()))
needs_int8 = pytest.mark.skipif(int8_hindrance() is not None, reason=str(int8_hindrance()))
SHAPES = [(96,), (1, 96), (3, 1, 96), (2, 4, 96), (70, 96), (2, 0, 96)]
"""Few rows, rows that torch takes over, and none."""


@needs_gemv
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_the_layer(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, rows = nn.Linear(96, 40, bias=bias).to(dtype), torch.randn(shape).to(dtype)
    found, expected = GemvLinear(layer)(rows), layer(rows)
    assert (found.shape, found.dtype) == (expected.shape, dtype)
    torch.testing.assert_close(found, expected, atol=1e-6 if dtype == torch.float32 else 0.01, rtol=0.01)


@needs_gemv
@needs_int8
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (7, 30), (9, 1)])
@pytest.mark.parametrize("outputs", [1, 32, 40])
def test_of_integers_it_computes_the_very_numbers(shape: tuple[int, ...], bias: bool, outputs: int) -> None:
    torch.manual_seed(0)
    layer, rows = Int8Linear(nn.Linear(shape[-1], outputs, bias=bias)), torch.randn(shape)
    assert torch.equal(GemvInt8Linear(layer)(rows), layer(rows))


@needs_gemv
@needs_int8
@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="of registers it is about")
@pytest.mark.parametrize("bits", [7, 8])
def test_processors_with_narrower_registers_compute_them_too(bits: int, tmp_path: Path) -> None:
    program = f"""
import torch
from vqgen.attention import GemvInt8Linear, Int8Linear, gemv, int8
gemv.processor_has_vnni = int8.processor_has_vnni = lambda: {bits == 8}
torch.manual_seed(0)
layer, rows = Int8Linear(torch.nn.Linear(96, 40)), 10 * torch.randn(13, 96)
layer.rounded[::3] = 127  # sums as large as they can be
layer.sums = layer.rounded.sum(0, dtype=torch.int32)
assert torch.backends.cpu.get_cpu_capability() == "AVX2" and layer.levels == 2 ** ({bits} - 1) - 1
assert torch.equal(GemvInt8Linear(layer)(rows), layer(rows))
"""
    surroundings = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=surroundings, check=True)


@needs_gemv
@needs_int8
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_finite_shows(broken: float) -> None:
    layer, rows = Int8Linear(nn.Linear(96, 40)), torch.randn(3, 96)
    rows[1, 50] = broken
    found = GemvInt8Linear(layer)(rows)
    assert not found[1].isfinite().any()
    assert torch.equal(found[::2], layer(rows)[::2])


@needs_gemv
def test_rows_need_not_lie_one_after_the_other() -> None:
    layer, rows = nn.Linear(8, 5), torch.randn(8, 3).t()
    torch.testing.assert_close(GemvLinear(layer)(rows), layer(rows))
    integers = Int8Linear(layer)
    assert torch.equal(GemvInt8Linear(integers)(rows), integers(rows))


@needs_gemv
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [8, 20, 64, 88])
@pytest.mark.parametrize(
    ("images", "queries", "keys"), [(1, 1, 1), (1, 1, 70), (3, 1, 9), (3, 2, 9), (2, 7, 33), (2, 9, 9), (2, 0, 9)]
)
def test_a_few_queries_attend_to_a_cache(images: int, queries: int, keys: int, width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mixed = torch.randn(images, queries, 3, 2, width).to(dtype)  # as layers make queries: not in one piece
    query = mixed[:, :, 0].transpose(1, 2)
    layer = KVCache(layers=1, batch_size=images, heads=2, steps=keys + 5, head_dim=width, dtype=dtype).layers[0]
    held = layer.append(*(3 * torch.randn(2, images, 2, keys, width)).to(dtype))
    visible = torch.rand(queries, keys) < 0.5
    visible[:, 0] = True
    for reach in [DenseReach(visible), DenseReach(None)] if queries == 1 else [DenseReach(visible)]:
        expected = DenseAttention()(query.double(), *(kept.double() for kept in held), reach)
        found = GemvAttention()(query, *held, reach)
        assert (found.shape, found.dtype) == (expected.shape, dtype)
        tolerance = 1e-5 if dtype == torch.float32 else 0.03
        torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


@needs_gemv
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_query_gets_does_not_depend_on_those_beside_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 2, 3, 21, 72).to(dtype)
    visible = torch.ones(8, 21, dtype=torch.bool)
    together = GemvAttention()(query[:, :, :8], keys, values, DenseReach(visible))
    for one in range(8):
        alone = GemvAttention()(query[:1, :, one : one + 1], keys[:1], values[:1])
        assert torch.equal(alone, together[:1, :, one : one + 1])


@needs_gemv
@pytest.mark.parametrize("factor", [1e-4, 30.0])
def test_scores_may_be_alike_or_far_apart(factor: float) -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 1, 2, 40, 16)
    query = factor * query[:, :, :1]
    expected = DenseAttention()(query.double(), keys.double(), values.double())
    torch.testing.assert_close(GemvAttention()(query, keys, values).double(), expected, atol=1e-5, rtol=1e-5)


@needs_gemv
def test_numbers_that_are_none_show_in_their_head_alone() -> None:
    query, keys, values = torch.randn(1, 2, 1, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    keys[0, 1, 3, 2] = torch.nan
    found = GemvAttention()(query, keys, values)
    assert found[0, 0].isfinite().all()
    assert found[0, 1].isnan().all()


@needs_gemv
def test_passes_that_begin_a_sequence_and_gradients_are_the_attention_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    real = DenseAttention.forward
    monkeypatch.setattr(
        DenseAttention, "forward", lambda self, *given: taken.append(given[0].shape[2]) or real(self, *given)
    )
    rows = torch.randn(1, 2, 3, 8)
    GemvAttention()(rows, rows, rows)
    GemvAttention()(rows[:, :, :1].requires_grad_(), rows, rows).sum().backward()
    assert taken == [3, 1]
    with torch.no_grad():
        GemvAttention()(rows[:, :, :1].requires_grad_(), rows, rows)
    assert taken == [3, 1]
    with pytest.raises(ValueError, match="got 1 queries and 0 keys"):
        GemvAttention()(rows[:, :, :1], rows[:, :, :0], rows[:, :, :0])


@needs_gemv
def test_it_reads_caches_for_any_number_of_images_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Linear(4, 4), DenseAttention())
    for faster, rows, kernel, expected in [
        (True, 64, None, GemvAttention),
        (False, 1, None, DenseAttention),
        (True, 1, "plain", DenseAttention),
        (False, 1, "gemv", GemvAttention),
    ]:
        monkeypatch.setattr(linear, "gemv_is_faster", lambda faster=faster: faster)
        assert type(packed_for_inference(module, rows=rows, kernel=kernel)[1]) is expected


@needs_gemv
@pytest.mark.parametrize("integers", [False, True])
def test_it_shares_the_weights_and_adds_nothing_to_what_is_saved(integers: bool) -> None:
    layer = nn.Linear(8, 5)
    fast = GemvInt8Linear(Int8Linear(layer)) if integers else GemvLinear(layer)
    assert fast.weight is layer.weight
    assert fast.state_dict().keys() == layer.state_dict().keys()


def test_it_says_why_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemv, "gemv_hindrance", lambda: "there is no C++ compiler")
    with pytest.raises(RuntimeError, match=r"kernels for a few rows cannot be had: there is no C\+\+ compiler"):
        GemvLinear(nn.Linear(8, 5))


def test_other_types_of_weights_are_refused() -> None:
    if gemv_hindrance() is None:
        with pytest.raises(ValueError, match=r"fp32 or bf16, got torch\.float64"):
            GemvLinear(nn.Linear(8, 5).double())


def test_the_rule_names_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(processor, "processor_is_intel", lambda: True)
    assert not gemv_is_faster()
    monkeypatch.setattr(processor, "processor_is_intel", lambda: False)
    assert gemv_is_faster()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not gemv_is_faster()
