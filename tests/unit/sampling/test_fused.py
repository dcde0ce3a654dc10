"""Fused blocks compute what blocks compute; without a GPU their kernels run in Triton's interpreter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vqgen.attention import int8_hindrance
from vqgen.prior import STYLES, Block, Prior
from vqgen.sampling import fused, in_precision
from vqgen.sampling.fused import FusedBlock, fusion_hindrance

ROOT = Path(__file__).parents[3]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")

COMPARE = """
import sys
import torch
from vqgen.attention import DenseReach, LayerCache
from vqgen.prior import Block, Rotation, STYLES
from vqgen.sampling import fused

style, device = sys.argv[1:]
for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5), (torch.bfloat16, 0.03)):
    for images, rows, held, shared in ((1, 1, 0, True), (2, 1, 9, False), (1, 3, 4, True), (2, 3, 70, False)):
        torch.manual_seed(0)
        block = Block(24, heads=2, style=STYLES[style]).to(device)
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        block = block.to(dtype).eval()
        room = held + rows + 3
        keys, values = torch.randn(2, images, 2, room, 12).to(device, dtype)
        keys[:, :, held:], values[:, :, held:] = float("nan"), float("nan")  # what memory held is not read
        places = torch.arange(held, held + rows, device=device)
        visible = torch.arange(room, device=device) <= places[:, None]
        if rows > 1:  # the last two rows are questions, which do not see each other; one does not see an old row
            visible[-1, held + rows - 2] = False
            visible[-1, 1] = False
        angle = torch.randn(1 if shared else images, rows, 2, 1, 12).to(device, dtype)
        rotation = None if (rows, shared) == (1, True) else Rotation(angle.cos(), angle.sin())
        hidden = torch.randn(images, rows, 24).to(device, dtype)

        def run(layer, keys, values):
            cache = fused.PlacedLayerCache(LayerCache(keys.clone(), values.clone()), places)
            with torch.inference_mode():
                return layer(hidden, rotation, cache, DenseReach(visible)), cache.keys, cache.values

        made = fused.FusedBlock(block)
        expected = run(block, keys.nan_to_num(0.0), values.nan_to_num(0.0))
        found = run(made, keys, values)
        for name, one, other in zip(("hidden", "keys", "values"), found, expected):
            if name != "hidden":
                one, other = one[:, :, : held + rows], other[:, :, : held + rows]
            scale = float(other.abs().max())
            error = float((one - other).abs().max())
            assert error <= tolerance * scale, (name, dtype, images, rows, error, scale)
"""

DRAW = """
import torch
from vqgen.prior import Prior
from vqgen.sampling import guided, sample_autoregressive, sample_groups
from vqgen.sampling.fused import FusedBlock

calls = []
forward = FusedBlock.forward
FusedBlock.forward = lambda self, hidden, *rest: calls.append(hidden.shape[1]) or forward(self, hidden, *rest)
torch.manual_seed(0)
prior = Prior(20, 4, 4, 3, dim=16, depth=1, heads=2, label_dropout=0.0)
for parameter in prior.parameters():
    torch.nn.init.normal_(parameter, std=0.2)
prior, labels, positions = prior.double(), torch.tensor([1]), torch.randperm(16)
for groups in ((1,) * 16, (1, 3, 3, 3, 3, 3)):
    guided.CAPTURED_ON = ()
    expected = sample_groups(prior, positions, labels, groups=groups, guidance=2.0)
    assert not calls
    guided.CAPTURED_ON = ("cpu",)
    assert torch.equal(sample_groups(prior, positions, labels, groups=groups, guidance=2.0), expected)
    assert calls, "no pass was fused"
    calls.clear()
"""

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton.language as tl
from vqgen.sampling import fused_kernels as kernels


def compile_for(capability, kernel, pointers, **constants):
    signature = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["ptx"]


for capability, overlap, dtype, exact in (
    (75, False, "fp32", tl.float32), (80, False, "bf16", tl.float32), (90, True, "bf16", tl.float32),
    (120, True, "fp64", tl.float64),
):
    common = {"EXACT": exact, "OVERLAP": overlap}
    pointers = {name: f"*{dtype}" for name in ("rows", "weight", "bias", "gain", "shift", "residual", "out")}
    for norm, activation in (("rms", "gated"), ("layer", "gelu")):
        ptx = compile_for(
            capability, kernels.multiply_rows, pointers, COUNT=2, INNER=48, SPAN=64, BLOCK=8, NORM=norm,
            EPSILON=1e-5, ACTIVATION=activation, BIASED=True, ADDED=True, **common,
        )
        assert ("griddepcontrol" in ptx) == overlap
    pointers = {name: f"*{dtype}" for name in ("mixed", "cosine", "signed_sine", "keys", "values", "out")}
    compile_for(
        capability, kernels.attend_rows, pointers | {"visible": "*i1", "places": "*i64"}, HEADS=2, WIDTH=24, SPAN=32,
        COUNT=3, ROWS=4, BLOCK=64, NORMALISED=True, ROTATED=True, **common,
    )
"""


def run(program: str, *arguments: str, interpreted: bool) -> None:
    # In a process of its own, as Triton settles on import whether it is to interpret.
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpreted else "0"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("style", STYLES)
def test_a_fused_block_computes_what_the_block_does(style: str, device: str) -> None:
    run(COMPARE, style, device, interpreted=device == "cpu")


@needs_triton
def test_fused_passes_draw_the_same_codes() -> None:
    run(DRAW, interpreted=True)


@needs_triton
def test_kernels_compile_for_gpus_old_and_new() -> None:
    run(COMPILE, interpreted=False)


def block(**named: object) -> Block:
    return Block(16, heads=2, style=STYLES["llama"], **named).eval()  # type: ignore[arg-type]


@pytest.fixture
def as_if_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_interpreted", lambda: True)
    monkeypatch.setattr(fused, "_TRIED", {})


def test_what_cannot_be_fused_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fusion_hindrance(block()) == "there are no fused kernels but for GPUs"
    assert fusion_hindrance(block(memory=True)) == "it looks at a memory"
    assert fusion_hindrance(block().to(torch.float8_e4m3fn)) == "there are no fused kernels for torch.float8_e4m3fn"
    with torch.autocast("cpu", torch.bfloat16):
        assert fusion_hindrance(block()) == "under autocast rows may be of another type than weights"
    layer = torch.nn.Identity()
    assert fused.fused(layer) is layer
    monkeypatch.setenv("VQGEN_RUNTIME", "off")
    assert fusion_hindrance(block()) == "VQGEN_RUNTIME=off"


@pytest.mark.skipif(int8_hindrance() is not None, reason="this machine does not multiply 8-bit integers")
def test_layers_in_8_bits_are_left_alone() -> None:
    prior = in_precision(Prior(16, 2, 3, dim=16, depth=1, heads=2), "int8")
    assert fusion_hindrance(prior.blocks[0]) == "its products are Int8Linear's"


@needs_triton
@pytest.mark.usefixtures("as_if_interpreted")
def test_kernels_that_fail_leave_the_block_and_say_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Tensor:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(fused, "multiply", fail)
    layer = block()
    with pytest.warns(UserWarning, match=r"slower: the fused kernels fail here \(RuntimeError: no such instruction\)"):
        assert fused.fused(layer) is layer
    assert fused.fused(layer) is layer  # a second warning would be an error here


@needs_triton
@pytest.mark.usefixtures("as_if_interpreted")
def test_kernels_that_are_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FusedBlock, "forward", lambda self, hidden, *_: hidden * 2.0)
    layer = block()
    with pytest.warns(UserWarning, match="the fused kernels are off by"):
        assert fused.fused(layer) is layer


@needs_triton
@pytest.mark.usefixtures("as_if_interpreted")
def test_kernels_that_are_right_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FusedBlock, "forward", lambda self, *arguments: self.block(*arguments))
    assert isinstance(fused.fused(block()), FusedBlock)
