"""Linear layers in 8-bit integers on the CPU: a quarter of the bytes that fp32 weights take to read."""

import functools

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.processor import processor_has_vnni

SMALLEST = 1e-12

BLOCK = 16
"""Outputs whose weights lie together for our own kernel, as ``gemv.cpp`` has it."""


class Int8Linear(nn.Module):
    """An ``nn.Linear`` whose products are of 8-bit integers: weights rounded per output, inputs per row.

    ``y = s_x s_w (x_q w_q) + bias`` with ``w_q = round(w / s_w)`` in -127..127, ``s_w`` the largest weight of an output
    over 127, and ``x_q``, ``s_x`` the same of a row of inputs. What a row gives does not depend on the rows beside it,
    and sums are of integers, exact. It keeps the layer's parameters, so that a copy of a model can be saved
    as the model, and passes no gradient.

    Args:
        linear: the layer to compute, on the CPU.

    Raises:
        ValueError: when this machine or the layer's device cannot; see `int8_hindrance`.

    Example:
        >>> import torch
        >>> layer, rows = torch.nn.Linear(64, 2), torch.ones(3, 64)
        >>> close = int8_hindrance() is not None or torch.allclose(Int8Linear(layer)(rows), layer(rows), atol=0.02)
        >>> bool(close)
        True

    Source: Dettmers et al., LLM.int8() (2208.07339), section 3.1, vector-wise quantization, here with all features in
    8 bits.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        hindrance = int8_hindrance(linear.weight.device)
        if hindrance:
            raise ValueError(f"expected a layer and a machine that multiply 8-bit integers, but {hindrance}")
        self.weight, self.bias = linear.weight, linear.bias
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp_min(SMALLEST)
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        # (i, o), in the memory of (o, i); of one column, torch takes strides of 1 and 1 for another layout.
        self.rounded = rounded.t() if rounded.shape[1] > 1 else rounded.view(1, -1)
        # Without VNNI, pairs of products are summed in 16 bits: inputs of 7 bits keep those from overflowing.
        self.levels = 127 if processor_has_vnni() else 63
        self.scales = scales / self.levels
        self.sums = self.rounded.sum(0, dtype=torch.int32)  # of an output's weights, for kernels that shift inputs

    @functools.cached_property
    def in_blocks(self) -> Int8[Tensor, "blocks quads o_in_block 4"]:
        """The rounded weights as our own kernel reads them, made when first asked for: those of a block of outputs with
        four inputs lie together, zeros where there is no output or input.
        """
        outputs, width = self.weight.shape
        filled = F.pad(self.rounded.t(), (0, -width % 4, 0, -outputs % BLOCK))
        return filled.view(len(filled) // BLOCK, BLOCK, -1, 4).transpose(1, 2).contiguous()

    def forward(self, rows: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Compute ``rows @ weight.T + bias``, rounded.

        Args:
            rows: (..., i) float32 inputs.

        Returns:
            (..., o) float32 outputs.
        """
        flat = rows.reshape(-1, rows.shape[-1])
        largest = torch.linalg.vector_norm(flat, torch.inf, dim=-1, keepdim=True).clamp_min_(SMALLEST)
        rounded = (flat * (self.levels / largest)).round_().to(torch.int8)
        product = torch._int_mm(rounded, self.rounded) * (self.scales * largest)  # int32 to float32
        if self.bias is not None:
            product += self.bias.detach()
        return product.view(*rows.shape[:-1], len(self.weight))


def int8_hindrance(device: torch.device | None = None) -> str | None:
    """Say why `Int8Linear` cannot work.

    Args:
        device: where the weights are; None for the CPU.

    Returns:
        The reason, or None where it can.

    Example:
        >>> int8_hindrance(torch.device("meta"))
        'the weights are on meta, and 8-bit products are for the CPU'
    """
    if device is not None and device.type != "cpu":
        return f"the weights are on {device.type}, and 8-bit products are for the CPU"
    if not torch._C._has_mkldnn:
        return "this build of torch has no oneDNN, which multiplies them"
    if not hasattr(torch, "_int_mm"):
        return f"torch {torch.__version__} does not offer the product"
    return None
