"""Drawing, a few rows at a time: the one place that chooses which CPU kernels multiply by weights and read a cache.

Drawing one token multiplies every weight by one row per image, so it runs at the speed at which weights can be read.
How near a kernel comes to that depends on the processor and on the number of rows. Figures are in README.md beside this
file.
"""

import platform
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention.base import DenseAttention
from vqgen.attention.gemv import GEMV_ROWS, GemvAttention, GemvInt8Linear, GemvLinear, gemv_hindrance, gemv_is_faster
from vqgen.attention.int8 import Int8Linear
from vqgen.attention.product import Linear
from vqgen.processor import processor_is_intel

Module = TypeVar("Module", bound=nn.Module)

LINEAR_LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, Linear)

LINEAR_KERNELS = ("plain", "mkl", "onednn", "gemv")
"""``plain``: F.linear. ``mkl``, ``onednn``: that library, with the weight laid out beforehand in its own format.
``gemv``: kernels of our own, built by the first process that draws; see `GemvLinear`."""


class PackedLinear(nn.Module):
    """An ``nn.Linear`` in its own arithmetic, fp32 or bf16, whose weight was laid out for a CPU library beforehand.

    It holds a second copy of the weight, is not trainable, and is made for sampling by `packed_for_inference`.

    Args:
        linear: the layer to compute, on the CPU; fp32, or bf16 for ``onednn``.
        rows: rows that will be multiplied at a time; others work too, slower.
        kernel: ``mkl`` or ``onednn``.

    Raises:
        ValueError: when the kernel is not one of the two.

    Example:
        >>> import torch
        >>> layer, row = torch.nn.Linear(4, 2), torch.ones(1, 4)
        >>> bool(torch.allclose(PackedLinear(layer, rows=1, kernel="onednn")(row), layer(row), atol=1e-6))
        True
    """

    def __init__(self, linear: nn.Linear, *, rows: int, kernel: str) -> None:
        super().__init__()
        if kernel not in ("mkl", "onednn"):
            raise ValueError(f"kernel must be 'mkl' or 'onednn', got {kernel!r}; use the layer itself for 'plain'")
        self.rows = rows
        self.kernel = kernel
        # Plain attributes, not parameters: this object lives for one call and never enters a state dict.
        self.weight = linear.weight.detach()
        self.bias = None if linear.bias is None else linear.bias.detach()
        if kernel == "mkl":
            self.packed = torch.ops.mkl._mkl_reorder_linear_weight(self.weight, rows)
        else:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)

    def forward(self, rows: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Compute ``rows @ weight.T + bias``.

        Args:
            rows: (..., i) inputs.

        Returns:
            (..., o) outputs.
        """
        if self.kernel == "mkl":
            if rows.numel() != self.rows * rows.shape[-1]:  # the packed weight serves one number of rows only
                return F.linear(rows, self.weight, self.bias)
            return torch.ops.mkl._mkl_linear(rows, self.packed, self.weight, self.bias, self.rows)
        return torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")


def fastest_linear_kernel(rows: int, dtype: torch.dtype = torch.float32, *, varying: bool = False) -> str:
    """Name the kernel of `LINEAR_KERNELS` that is fastest here for a matrix times ``rows`` rows, on the CPU.

    MKL, behind F.linear, reads fp32 weights at full speed on Intel processors and at a third of it on others, where our
    own kernel is faster for the fewest rows, and oneDNN for more. From four rows on, a weight laid out beforehand
    pays on Intel too. The rule is fixed rather than timed, so that a machine always gives the same numbers.

    Args:
        rows: rows multiplied at a time, >= 1.
        dtype: of the weights; torch.int8 for those of an `Int8Linear`, which is ``plain`` or ``gemv``.
        varying: whether other numbers of rows will come too, which neither a weight laid out by MKL serves nor, in
            floats, ``gemv``.

    Returns:
        One of `LINEAR_KERNELS`.

    Raises:
        ValueError: when rows is below 1.

    Example:
        >>> fastest_linear_kernel(1) in LINEAR_KERNELS
        True
    """
    _check_rows(rows)
    few = dtype == torch.int8 or (rows <= GEMV_ROWS.get(dtype, 0) and not varying)
    if few and gemv_is_faster() and gemv_hindrance() is None:
        return "gemv"
    if not torch._C._has_mkldnn or platform.machine().lower() not in ("x86_64", "amd64"):
        return "plain"  # elsewhere F.linear already is the vendor's kernel
    if dtype == torch.float32 and not processor_is_intel():
        return "onednn"
    if rows > 32 or dtype not in (torch.float32, torch.bfloat16):
        return "plain"  # many rows hide the reading of weights
    if dtype == torch.bfloat16:
        return "onednn" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "plain"
    return "mkl" if rows >= 4 and torch._C.has_mkl and not varying else "plain"


def _check_rows(rows: int) -> None:
    if rows < 1:
        raise ValueError(f"rows must be >= 1, got {rows}; pass the number of sequences that advance together")


def packed_for_inference(module: Module, *, rows: int, kernel: str | None = None, varying: bool = False) -> Module:
    """Copy a module for sampling: its parameters shared, the fastest layers for so many rows, no dropout.

    The copy is of the module's tree alone, so it costs no memory beyond what packed weights take; the original is not
    changed, neither its layers nor its training mode. Layers that are not on the CPU are shared as they are.

    Args:
        module: any module; its ``nn.Linear`` and `Int8Linear` layers are replaced in the copy, and its `DenseAttention`
            where ``gemv`` reads a cache sooner.
        rows: rows multiplied at a time, >= 1.
        kernel: one of `LINEAR_KERNELS`, or None for the fastest here.
        varying: whether other numbers of rows will come too; see `fastest_linear_kernel`.

    Returns:
        The copy, of the same class.

    Raises:
        ValueError: when the kernel is unknown or rows is below 1.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
        >>> fast = packed_for_inference(model, rows=1, kernel="onednn")
        >>> type(fast[0]).__name__, type(model[0]).__name__, fast.training, model.training
        ('PackedLinear', 'Linear', False, True)
    """
    if kernel is not None and kernel not in LINEAR_KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(LINEAR_KERNELS)}, got {kernel!r}")
    _check_rows(rows)

    on_cpu = all(parameter.device.type == "cpu" for parameter in module.parameters())
    read_by_gemv = on_cpu and (gemv_is_faster() and gemv_hindrance() is None if kernel is None else kernel == "gemv")

    def packed(layer: nn.Linear | Int8Linear | DenseAttention) -> nn.Module:
        if isinstance(layer, DenseAttention):  # however many images, each reads a cache of its own, and once
            return GemvAttention() if read_by_gemv else layer
        if layer.weight.device.type != "cpu":
            return layer
        dtype = torch.int8 if isinstance(layer, Int8Linear) else layer.weight.dtype
        chosen = fastest_linear_kernel(rows, dtype, varying=varying) if kernel is None else kernel
        if isinstance(layer, Int8Linear):
            return GemvInt8Linear(layer) if chosen == "gemv" else layer
        if chosen == "gemv" and dtype in GEMV_ROWS:
            return GemvLinear(layer)
        known = dtype == torch.float32 or (dtype, chosen) == (torch.bfloat16, "onednn")
        if chosen in ("plain", "gemv") or not known:
            return layer
        return PackedLinear(layer, rows=rows, kernel=chosen)

    return with_layers(module, packed, kinds=(*LINEAR_LAYERS, Int8Linear, DenseAttention))


def with_layers(
    module: Module, replace: Callable[[Any], nn.Module], kinds: tuple[type[nn.Module], ...] = LINEAR_LAYERS
) -> Module:
    """Copy a module for inference: its parameters shared, layers of some kinds replaced, no dropout.

    Args:
        module: any module; it is not changed.
        replace: gives the layer to have in place of one of these kinds, which may be that layer itself.
        kinds: classes of layers; not those derived from them.

    Returns:
        The copy of its tree, of the same class, in evaluation mode.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
        >>> with_layers(model, lambda linear: torch.nn.Identity())
        Sequential(
          (0): Identity()
          (1): ReLU()
        )
    """
    copy = module.__class__.__new__(module.__class__)
    copy.__dict__.update(module.__dict__)
    copy.training = False
    copy._modules = {
        name: None if child is None else _with_layers(child, replace, kinds) for name, child in module._modules.items()
    }
    # Found as plain attributes they spare a step of sampling some hundred calls of nn.Module.__getattr__.
    copy.__dict__.update({**copy._parameters, **copy._buffers, **copy._modules})
    return copy


def _with_layers(
    child: nn.Module, replace: Callable[[Any], nn.Module], kinds: tuple[type[nn.Module], ...]
) -> nn.Module:
    if type(child) in kinds and (replaced := replace(child)) is not child:
        return replaced.eval()
    return with_layers(child, replace, kinds)
