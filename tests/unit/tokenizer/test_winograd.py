"""Winograd convolutions against direct ones, and when they are chosen."""

import contextlib

import pytest
import torch
from torch.nn import functional as F

import vqgen.tokenizer.winograd as winograd_module
from vqgen.tokenizer.winograd import Convolution3x3, winograd_convolution


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
