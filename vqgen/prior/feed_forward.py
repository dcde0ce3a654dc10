"""The position-wise half of a Transformer block: GELU or SwiGLU."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import Linear

FEW = 2**15
"""Numbers that one thread passes over sooner than it would take to wake a second."""

_HALF, _ROOT_HALF = torch.tensor(0.5), torch.tensor(0.5**0.5)  # a number is wrapped into a tensor at every use


def gelu(hidden: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Exact GELU, ``x (1 + erf(x / sqrt 2)) / 2``, also fast for the few rows of a sampling step.

    On the CPU ``F.gelu`` goes through oneDNN, whose threads take longer to wake than a few rows to compute.

    Args:
        hidden: (..., d).

    Returns:
        (..., d), what ``F.gelu`` gives up to rounding.

    Example:
        >>> import torch
        >>> gelu(torch.tensor([0.0, 100.0]))
        tensor([  0., 100.])

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (1606.08415).
    """
    if hidden.device.type != "cpu" or torch.is_grad_enabled() or hidden.numel() > FEW:
        return F.gelu(hidden)
    return torch.addcmul(hidden, hidden, (hidden * _ROOT_HALF).erf_()).mul_(_HALF)


class GeluFeedForward(nn.Module):
    """Widen four times, GELU, narrow: ``W2 gelu(W1 x)``.

    Args:
        dim: width of the prior, d.

    Example:
        >>> import torch
        >>> GeluFeedForward(8)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 8])

    Source: Radford et al., Language Models are Unsupervised Multitask Learners (GPT-2).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.widen = Linear(dim, 4 * dim)
        self.narrow = Linear(4 * dim, dim)

    def forward(self, hidden: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        """Transform each step by itself.

        Args:
            hidden: (b, m, d) normalised hidden states.

        Returns:
            (b, m, d) what to add to them.
        """
        output: Tensor = self.narrow(gelu(self.widen(hidden)))
        return output


class SwiGLUFeedForward(nn.Module):
    """A gated linear unit with a Swish gate: ``W2 (silu(Wg x) * W1 x)``.

    The inner width is 8/3 of d, rounded up to a multiple of 32, so that three matrices weigh what GELU's two do.

    Args:
        dim: width of the prior, d.

    Example:
        >>> import torch
        >>> SwiGLUFeedForward(8)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 8])

    Source: Shazeer, GLU Variants Improve Transformer (2002.05202).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = 32 * -(-8 * dim // (3 * 32))
        self.widen = Linear(dim, 2 * inner, bias=False)  # gate and value in one multiplication
        self.narrow = Linear(inner, dim, bias=False)

    def forward(self, hidden: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        """Transform each step by itself.

        Args:
            hidden: (b, m, d) normalised hidden states.

        Returns:
            (b, m, d) what to add to them.
        """
        output: Tensor = self.narrow(gated(self.widen(hidden)))
        return output


def gated(both: Float[Tensor, "*batch d2"]) -> Float[Tensor, "*batch d"]:
    """``silu(gate) * value`` of rows that hold the gate in their first half and the value in the second.

    On the CPU its gradient is written where that of the rows belongs, in place of in two halves that are then copied.

    Args:
        both: (..., 2 d).

    Returns:
        (..., d).

    Example:
        >>> gated(torch.tensor([[100.0, 3.0]]))
        tensor([[300.]])
    """
    if both.device.type == "cpu" and both.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Gated.apply(both)
        return result
    gate, value = both.chunk(2, dim=-1)
    return F.silu(gate) * value


class _Gated(torch.autograd.Function):
    """``y = silu(g) v``; then ``dv = dy silu(g)`` and ``dg = dy v silu'(g)``."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, value = both.chunk(2, dim=-1)
        swish = F.silu(gate)
        ctx.save_for_backward(both, swish)
        return swish * value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        both, swish = ctx.saved_tensors
        (gradient,) = gradients
        gate, value = both.chunk(2, dim=-1)
        along = torch.empty_like(both)
        of_gate, of_value = along.chunk(2, dim=-1)
        torch.mul(gradient, swish, out=of_value)
        torch.ops.aten.silu_backward.grad_input(gradient * value, gate, grad_input=of_gate)
        return along
