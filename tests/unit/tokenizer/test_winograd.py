"""Winograd convolutions against direct ones, by torch's products and by our own kernel, and when they are chosen."""

import contextlib
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

import vqgen.tokenizer.winograd as winograd_module
from vqgen.native import native_hindrance
from vqgen.tokenizer.winograd import SOURCE, Convolution3x3, winograd_convolution, winograd_hindrance

WHY_NOT = native_hindrance(SOURCE, "-ffp-contract=fast")
needs_kernel = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

OWN = """
import torch
from torch.nn import functional as F
from vqgen.tokenizer import winograd

assert winograd.native_hindrance(winograd.SOURCE, "-ffp-contract=fast") is None
winograd._own_kernel_serves = lambda *_: True
sizes = [(1, 16, 16, 4, 4), (1, 48, 80, 8, 12), (2, 16, 112, 12, 512), (1, 32, 16, 84, 128), (5, 16, 32, 36, 44)]
for batch, channels, outputs, height, width in sizes:
    for bias in (True, False):
        torch.manual_seed(0)
        x, weight = torch.randn(batch, channels, height, width), torch.randn(outputs, channels, 3, 3)
        added = torch.randn(outputs) if bias else None
        exact = F.conv2d(x.double(), weight.double(), None if added is None else added.double(), padding=1)
        found = winograd.winograd_convolution(x, weight, added)
        assert found.is_contiguous(memory_format=torch.channels_last)
        error = float((found - exact).abs().max() / exact.abs().max())
        assert error < 2e-5, (batch, channels, outputs, height, width, error)
        order = torch.channels_last
        again = winograd.winograd_convolution(x.to(memory_format=order), weight.to(memory_format=order), added)
        assert torch.equal(again, found)
        alone = torch.cat([winograd.winograd_convolution(image[None], weight, added) for image in x])
        assert torch.equal(alone, found), "an image depends on its batch"
"""


@needs_kernel
@pytest.mark.parametrize("capability", ["", "avx2", "default"])
def test_our_own_kernel_is_the_convolution(capability):
    # In a process of its own, as torch reads once which instructions it may use.
    environment = dict(os.environ, **({"ATEN_CPU_CAPABILITY": capability} if capability else {}))
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@needs_kernel
def test_our_own_kernel_is_taken_where_torch_is_slow(monkeypatch):
    taken = []
    kernel = torch.ops.vqgen.winograd
    monkeypatch.setattr(winograd_module, "processor_is_intel", lambda: False)
    monkeypatch.setattr(winograd_module, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(torch.ops.vqgen, "winograd", lambda *given: taken.append(given[0].shape) or kernel(*given))
    for channels, side in ((64, 32), (256, 16), (64, 28), (100, 32), (1024, 12)):
        layer, x = usual(channels=channels, side=side)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-4, rtol=1e-4)
    assert taken == [(1, 32, 32, 64), (1, 16, 16, 256)]


def test_why_our_own_kernel_is_not_taken(monkeypatch):
    monkeypatch.setattr(winograd_module, "mkl_is_slow", lambda: False)
    assert winograd_hindrance() == "torch's libraries are made for this processor"
    monkeypatch.setattr(winograd_module, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(winograd_module, "native_hindrance", lambda *_, **__: "there is no C++ compiler")
    assert winograd_hindrance() == "there is no C++ compiler"
    assert not winograd_module._own_kernel_serves(64, 64)


@pytest.mark.parametrize(
    ("batch", "channels", "outputs", "height", "width"),
    [(1, 3, 5, 4, 4), (2, 8, 4, 8, 12), (1, 4, 4, 12, 512), (1, 4, 4, 84, 128), (2, 1, 1, 1024, 4)],
)
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_convolution(batch, channels, outputs, height, width, bias):
    torch.manual_seed(0)
    x = torch.randn(batch, channels, height, width)
    weight = torch.randn(outputs, channels, 3, 3)
    added = torch.randn(outputs) if bias else None
    exact = F.conv2d(x.double(), weight.double(), None if added is None else added.double(), padding=1)
    found = winograd_convolution(x, weight, added)
    assert (found - exact).abs().max() < 2e-5 * exact.abs().max()
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_strips_that_overlap_change_nothing(monkeypatch):
    x, weight = torch.randn(1, 2, 28, 8), torch.randn(2, 2, 3, 3)
    whole = winograd_convolution(x, weight)
    monkeypatch.setattr(winograd_module, "TILES", 6)  # 3 rows of 2 tiles at a time, of 7
    torch.testing.assert_close(winograd_convolution(x, weight), whole)


def test_images_of_a_batch_do_not_meet():
    x, weight = torch.randn(3, 4, 16, 16), torch.randn(4, 4, 3, 3)
    together = winograd_convolution(x, weight)
    alone = torch.cat([winograd_convolution(image[None], weight) for image in x])
    assert torch.equal(together, alone)


def test_sides_that_are_no_tiles_are_refused():
    with pytest.raises(ValueError, match="divisible by 4, got 8 x 6"):
        winograd_convolution(torch.zeros(1, 1, 8, 6), torch.zeros(1, 1, 3, 3))


def usual(channels: int = 96, side: int = 32, dtype: torch.dtype = torch.float32):
    return Convolution3x3(channels, channels).to(dtype), torch.randn(1, channels, side, side, dtype=dtype)


@pytest.mark.parametrize(
    ("circumstance", "chosen"),
    [
        ("usual", True),
        ("gradients", False),
        ("narrow", False),
        ("small", False),
        ("odd", False),
        ("double", False),
        ("autocast", False),
        ("other processor", False),
    ],
)
def test_when_it_is_chosen(monkeypatch, circumstance, chosen):
    taken = []

    def spy(*arguments):
        taken.append(True)
        return winograd_convolution(*arguments)

    monkeypatch.setattr(winograd_module, "winograd_convolution", spy)
    monkeypatch.setattr(winograd_module, "processor_is_intel", lambda: circumstance != "other processor")
    monkeypatch.setattr(winograd_module, "_own_kernel_serves", lambda *_: False)
    options = {
        "narrow": {"channels": 95},
        "small": {"side": 28},
        "odd": {"side": 34},
        "double": {"dtype": torch.float64},
    }
    layer, x = usual(**options.get(circumstance, {}))
    automatic = torch.autocast("cpu", torch.bfloat16) if circumstance == "autocast" else contextlib.nullcontext()
    with torch.set_grad_enabled(circumstance == "gradients"), automatic:
        result = layer(x)
    assert taken == [True] * chosen
    exact = F.conv2d(x, layer.weight, layer.bias, padding=1)
    tolerance = 0.05 if circumstance == "autocast" else 1e-4
    torch.testing.assert_close(result.to(x.dtype), exact, atol=tolerance, rtol=tolerance)
    assert result.requires_grad == (circumstance == "gradients")


def test_its_weights_are_a_convolutions():
    layer, plain = Convolution3x3(4, 6), torch.nn.Conv2d(4, 6, 3, padding=1)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 4, 5, 7)
    assert torch.equal(layer(x), plain(x))
