"""Linear layers and attention at a few rows through kernels of our own, built when they are first asked for.

Libraries lay their products out for many rows. At one row, oneDNN and MKL read weights at 8 to 14 GB/s on two cores of
an AMD EPYC (Zen 4), and torch's fused attention a cache at 8; row by row, as they lie in memory, ``gemv.cpp`` reads
them at 20 to 39. The first process that draws waits some 15 seconds for the compiler, none after it; without a compiler
torch's libraries multiply. Figures are in README.md beside this file.
"""

import functools
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention.base import DenseAttention, DenseReach, Reach
from vqgen.attention.int8 import Int8Linear
from vqgen.native import native_hindrance
from vqgen.processor import mkl_is_slow, processor_has_vnni

SOURCE = Path(__file__).with_name("gemv.cpp")

GEMV_ROWS = {torch.float32: 4, torch.bfloat16: 2}
"""The most rows, by type of weights; more are multiplied sooner by libraries, which arrange them for the processor's
caches. In 8 bits there are none too many."""

GEMV_QUERIES = 8
"""The most queries to read a cache for; from 12 to 16 on torch's attention is as fast."""


class GemvLinear(nn.Module):
    """An ``nn.Linear`` for a few rows at a time, in its own arithmetic, fp32 or bf16.

    Beyond `GEMV_ROWS` rows it multiplies through oneDNN. It keeps the layer's parameters and passes no gradient.

    Args:
        linear: the layer to compute, on the CPU.

    Raises:
        RuntimeError: when the kernels cannot be had here; see `gemv_hindrance`.
        ValueError: when the weights are of another type.

    Example:
        >>> import torch
        >>> layer, row = torch.nn.Linear(4, 2), torch.ones(1, 4)
        >>> gemv_hindrance() is not None or torch.allclose(GemvLinear(layer)(row), layer(row), atol=1e-6)
        True
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        _need_kernels()
        if linear.weight.dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(f"expected weights in fp32 or bf16, got {linear.weight.dtype}")
        self.weight, self.bias = linear.weight, linear.bias
        # Plain attributes, not parameters: they never enter a state dict.
        self.read = linear.weight.detach().contiguous()
        self.added = None if linear.bias is None else linear.bias.detach()
        self.most = GEMV_ROWS[linear.weight.dtype]

    def forward(self, rows: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Compute ``rows @ weight.T + bias``.

        Args:
            rows: (..., i) inputs, of the weights' type.

        Returns:
            (..., o) outputs.
        """
        if rows.numel() <= self.most * rows.shape[-1]:
            product: Tensor = torch.ops.vqgen.gemv(rows, self.read, self.added)
        elif torch._C._has_mkldnn and not torch.compiler.is_compiling():  # the compiler chooses by itself
            product = torch.ops.mkldnn._linear_pointwise(rows, self.read, self.added, "none", [], "")
        else:
            product = F.linear(rows, self.weight, self.bias)
        return product


class GemvInt8Linear(Int8Linear):
    """An `Int8Linear` by our own kernel: the same numbers, sooner.

    That layer then holds a second copy of its rounded weights, laid out for the kernel.

    Args:
        layer: the layer to compute; its parameters are shared.

    Raises:
        RuntimeError: when the kernels cannot be had here; see `gemv_hindrance`.
    """

    def __init__(self, layer: Int8Linear) -> None:
        nn.Module.__init__(self)
        _need_kernels()
        self.__dict__.update(layer.__dict__)
        self.read = layer.in_blocks
        self.added = None if layer.bias is None else layer.bias.detach()

    def forward(self, rows: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Compute ``rows @ weight.T + bias``, rounded.

        Args:
            rows: (..., i) float32 inputs.

        Returns:
            (..., o) float32 outputs.
        """
        product: Tensor = torch.ops.vqgen.gemv_int8(
            rows, self.read, self.sums, self.scales, self.added, float(self.levels)
        )
        return product


class GemvAttention(DenseAttention):
    """A `DenseAttention` for a few queries at a time, such as those of a step of sampling, on top of a cache.

    Beyond `GEMV_QUERIES` queries, for passes that begin a sequence, and where a gradient is asked for, it is that
    attention.

    Raises:
        RuntimeError: when the kernels cannot be had here; see `gemv_hindrance`.
    """

    def __init__(self) -> None:
        super().__init__()
        _need_kernels()

    def forward(
        self,
        query: Float[Tensor, "b heads m e"],
        keys: Float[Tensor, "b heads t e"],
        values: Float[Tensor, "b heads t e"],
        reach: Reach | None = None,
    ) -> Float[Tensor, "b heads m e"]:
        """See `dense_causal_attention`."""
        visible = reach.visible if isinstance(reach, DenseReach) else None
        if not _fits(query, keys, values, visible):
            return super().forward(query, keys, values, reach)
        mixed: Tensor = torch.ops.vqgen.gemv_attention(query, keys, values, visible)
        return mixed


def _fits(query: Tensor, keys: Tensor, values: Tensor, visible: Bool[Tensor, "m t"] | None) -> bool:
    few = query.shape[2] <= min(GEMV_QUERIES, keys.shape[2]) and (query.shape[2] == 1 or visible is not None)
    known = query.dtype in (torch.float32, torch.bfloat16)
    on_cpu = query.device.type == "cpu" and query.dtype == keys.dtype == values.dtype
    in_pieces = query.stride(3) == keys.stride(3) == values.stride(3) == 1
    return few and known and on_cpu and in_pieces and not (query.requires_grad and torch.is_grad_enabled())


def _need_kernels() -> None:
    hindrance = gemv_hindrance()
    if hindrance:
        raise RuntimeError(f"kernels for a few rows cannot be had: {hindrance}")


def gemv_is_faster() -> bool:
    """Whether the kernels read weights sooner than torch's libraries on processors like this: not on Intel's, for which
    those are made. The rule is fixed rather than timed, so that a machine always gives the same numbers.

    Example:
        >>> gemv_is_faster() in (True, False)
        True
    """
    return mkl_is_slow()


def gemv_hindrance() -> str | None:
    """Say why `GemvLinear`, `GemvInt8Linear` and `GemvAttention` cannot work here.

    Builds their kernels where they were not yet; see `native_hindrance`.

    Returns:
        The reason, or None where it can.
    """
    flags = ["-ffp-contract=off"]
    if processor_has_vnni():  # inputs of all 8 bits, see `Int8Linear`
        wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
        flags += ["-DEIGHT_BITS", *(["-mavx512vnni"] if wide else [])]
    without = "drawing goes on without the kernels for few rows, slower" if gemv_is_faster() else None
    hindrance = native_hindrance(SOURCE, *flags, without=without)
    if hindrance is None:
        _tell_the_compiler()
    return hindrance


@functools.cache
def _tell_the_compiler() -> None:
    """What `torch.compile` has to know of the kernels: the shapes they give."""
    torch.library.register_fake("vqgen::gemv", _empty_product)
    torch.library.register_fake("vqgen::gemv_int8", lambda rows, _, sums, *__: _empty_product(rows, sums))
    torch.library.register_fake("vqgen::gemv_attention", _empty_mixture)


def _empty_product(rows: Tensor, weight: Tensor, *_: object) -> Tensor:
    return rows.new_empty(*rows.shape[:-1], weight.shape[0])


def _empty_mixture(query: Tensor, *_: object) -> Tensor:
    return torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
