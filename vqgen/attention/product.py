"""A linear layer for many rows, in training and for whole passes: through oneDNN where MKL multiplies slowly."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.processor import mkl_is_slow, switched_off

MANY = 64
"""Rows from which on it matters; steps of sampling have kernels of their own, see `packed_for_inference`."""


class Linear(nn.Linear):
    """An ``nn.Linear`` whose fp32 products go through oneDNN where that is faster, forwards and backwards.

    On AMD's processors MKL, behind ``F.linear``, multiplies fp32 matrices at two thirds of oneDNN's rate. Both are fp32
    throughout. The gradient of the weight stays with MKL, which is the faster one at it. In other types, under
    autocast, on other devices and below `MANY` rows it is ``nn.Linear``; ``VQGEN_RUNTIME=off`` makes it so everywhere.

    Example:
        >>> import torch
        >>> layer, rows = Linear(4, 2), torch.randn(3, 50, 4)
        >>> bool(torch.allclose(layer(rows), torch.nn.functional.linear(rows, layer.weight, layer.bias), atol=1e-6))
        True
    """

    def forward(self, input: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Compute ``rows @ weight.T + bias``.

        Args:
            input: (..., i) rows.

        Returns:
            (..., o) outputs.
        """
        weight, bias = self.weight, self.bias
        if not _by_onednn(input, weight):
            return F.linear(input, weight, bias)
        if torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad):
            product: Tensor = _Product.apply(input, weight, bias)
            return product
        return _multiply(input, weight, bias)


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies large fp32 matrices faster here than what is behind ``F.linear``, and may.

    Example:
        >>> onednn_is_faster() in (True, False)
        True
    """
    return mkl_is_slow() and torch._C._has_mkldnn and not switched_off()


def _by_onednn(rows: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()  # the compiler chooses by itself
        and rows.dtype == weight.dtype == torch.float32
        and rows.device.type == "cpu"
        and rows.numel() >= MANY * rows.shape[-1]
        and onednn_is_faster()
        and not torch.is_autocast_enabled("cpu")
    )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    """``y = x W^T + b``; then ``dx = dy W``, ``dW = dy^T x`` and ``db`` the sum of dy."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        flat = gradients[0].reshape(-1, weight.shape[0])
        to_rows = _multiply(flat, weight.t(), None).view_as(rows) if ctx.needs_input_grad[0] else None
        to_weight = flat.t() @ rows.reshape(-1, weight.shape[1]) if ctx.needs_input_grad[1] else None
        to_bias = flat.sum(dim=0) if ctx.needs_input_grad[2] else None
        return to_rows, to_weight, to_bias
