"""3x3 convolutions by fewer multiplications, where drawing and encoding images spend most of their time."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.native import native_hindrance
from vqgen.processor import mkl_is_slow, processor_is_intel

SOURCE = Path(__file__).with_name("winograd.cpp")

# For outputs at the points 0, 1, -1, 2, -2 and infinity (1509.09308, section 4.3).
_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float32,
)
_KERNEL = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float32
)
# Both sides of a tile at once: a transform of a tile is one product with its 36 numbers.
INPUT, KERNEL, OUTPUT = (torch.kron(matrix, matrix) for matrix in (_INPUT, _KERNEL, _OUTPUT))

EVERYWHERE = 7
"""The one of 36 products that each output of a tile contains once."""

SIDE = 4
"""Outputs a tile is wide and high; it reads two more inputs each way."""

TILES = 256
"""Tiles worked on at a time, so that what is between input and output stays in the processor's cache."""

FEWEST_CHANNELS, FEWEST_PLACES = 96, 32 * 32
"""Below, transforming costs more than it spares, with torch's products."""

OWN_FEWEST_PLACES, OWN_FEWEST = 16 * 16, 2**16
"""The same of our own kernel: places, and places times channels."""

LANES = 16
"""What numbers of channels our own kernel takes are multiples of."""


class Convolution3x3(nn.Conv2d):
    """A 3x3 convolution with stride 1 and padding 1, faster on x86 CPUs where nothing learns.

    The same weights and, up to rounding (about 1e-5 of the outputs' size), the same numbers as ``nn.Conv2d``, which it
    is everywhere else: with gradients, on other devices and types, on small or narrow feature maps.

    Args:
        in_channels: channels that come.
        out_channels: channels that leave.

    Example:
        >>> layer, x = Convolution3x3(96, 96), torch.randn(1, 96, 32, 32)
        >>> with torch.no_grad():
        ...     quick = layer(x)
        >>> bool(torch.allclose(quick, layer(x), atol=1e-4))
        True
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b d H W"]:
        """(b, in_channels, H, W) -> (b, out_channels, H, W)."""
        if self._winograd_pays(x):
            return winograd_convolution(x, self.weight, self.bias)
        result: Tensor = super().forward(x)
        return result

    def _winograd_pays(self, x: Tensor) -> bool:
        height, width = x.shape[-2:]
        if (
            torch.is_grad_enabled()
            or height % SIDE
            or width % SIDE
            or x.device.type != "cpu"
            or not x.dtype == self.weight.dtype == torch.float32
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        ):
            return False
        places, channels = height * width, min(self.in_channels, self.out_channels)
        if processor_is_intel():  # elsewhere torch's matrix products may be half as fast as its convolutions
            return channels >= FEWEST_CHANNELS and places >= FEWEST_PLACES
        worth = places >= OWN_FEWEST_PLACES and places * channels >= OWN_FEWEST
        return worth and _own_kernel_serves(self.in_channels, self.out_channels)


def winograd_hindrance() -> str | None:
    """Say why `winograd_convolution` cannot work here by a kernel of our own.

    Builds it where it was not yet; see `vqgen.native.native_hindrance`. On Intel's processors it was not measured, and
    torch's products serve.

    Returns:
        The reason, or None where it can.

    Example:
        >>> winograd_hindrance() is None or isinstance(winograd_hindrance(), str)
        True
    """
    if not mkl_is_slow():
        return "torch's libraries are made for this processor"
    without = "images are encoded and decoded without a kernel of our own, slower"
    return native_hindrance(SOURCE, "-ffp-contract=fast", without=without)


def _own_kernel_serves(channels: int, outputs: int) -> bool:
    return channels % LANES == outputs % LANES == 0 and winograd_hindrance() is None


def winograd_convolution(
    x: Float[Tensor, "b c H W"], weight: Float[Tensor, "d c 3 3"], bias: Float[Tensor, " d"] | None = None
) -> Float[Tensor, "b d H W"]:
    """Convolve with 3x3 kernels, stride 1 and padding 1, with a quarter of the multiplications.

    Winograd's F(4x4, 3x3): a tile of 6x6 inputs and a kernel are transformed to 36 numbers each, multiplied one by one
    (and summed over channels: 36 matrix products), and transformed back to 4x4 outputs. 36 multiplications in place of
    144. A batch changes nothing. By a kernel of our own where it can be had, else by torch's products.

    Args:
        x: (b, c, H, W) fp32 on the CPU; H and W divisible by 4.
        weight: (d, c, 3, 3).
        bias: (d,) or None.

    Returns:
        (b, d, H, W), laid out with channels last, without gradients.

    Raises:
        ValueError: if a side is not divisible by 4.

    Example:
        >>> x, weight = torch.randn(1, 2, 4, 8), torch.randn(5, 2, 3, 3)
        >>> exact = torch.nn.functional.conv2d(x, weight, padding=1)
        >>> bool(torch.allclose(winograd_convolution(x, weight), exact, atol=1e-4))
        True

    Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (1509.09308), algorithm 1.
    """
    batch, channels, height, width = x.shape
    if height % SIDE or width % SIDE:
        raise ValueError(f"expected a height and width divisible by {SIDE}, got {height} x {width}; pad the input")
    with torch.no_grad():
        outputs = weight.shape[0]
        if _own_kernel_serves(channels, outputs):
            found: Tensor = torch.ops.vqgen.winograd(x.permute(0, 2, 3, 1), weight, bias)
            return found.permute(0, 3, 1, 2)
        # (d, c, 3, 3) -> (36, c, d)
        kernels = (KERNEL @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, outputs, channels).transpose(1, 2)
        across = width // SIDE
        down = max(1, min(TILES // across, height // SIDE))  # rows of tiles at a time
        rows = SIDE * down
        inner, tiles = (rows + 2, width + 2, channels), down * across
        strip = x.new_zeros(inner)  # one strip of the image, and the zeros around it
        strides = strip.stride()
        windows = strip.as_strided((6, 6, down, across, channels), (*strides[:2], *(SIDE * s for s in strides[:2]), 1))
        # Each step reads one of two buffers and writes the other: less to keep in the cache.
        one, other = (x.new_empty(36 * tiles * max(channels, outputs)) for _ in range(2))
        gathered, transformed = (buffer[: 36 * tiles * channels].view(36, -1) for buffer in (one, other))
        products = one[: 36 * tiles * outputs].view(36, tiles, outputs)
        restored = other[: SIDE * SIDE * tiles * outputs].view(SIDE * SIDE, -1)
        result = x.new_empty(batch, height, width, outputs)
        for image, into in zip(x.permute(0, 2, 3, 1), result, strict=True):  # (H, W, c), (H, W, d)
            for top in range(0, height, rows):
                top = min(top, height - rows)  # the last strip may overlap the one before
                first, last = max(top - 1, 0), min(top + rows + 1, height)
                strip[0].zero_()
                strip[-1].zero_()
                strip[first - top + 1 : last - top + 1, 1:-1] = image[first:last]
                gathered.view(windows.shape).copy_(windows)
                torch.mm(INPUT, gathered, out=transformed)
                torch.bmm(transformed.view(36, tiles, channels), kernels, out=products)
                if bias is not None:
                    products[EVERYWHERE] += bias
                torch.mm(OUTPUT, products.view(36, -1), out=restored)
                ordered = restored.view(SIDE, SIDE, down, across, outputs).permute(2, 0, 3, 1, 4)
                into[top : top + rows].view(ordered.shape).copy_(ordered)
    return result.permute(0, 3, 1, 2)
