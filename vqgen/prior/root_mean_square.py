"""RMSNorm that costs little on the CPU, for the few rows of a sampling step and for the many of training."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = torch.finfo(torch.float32).eps


class RMSNorm(nn.Module):
    """Scale rows to a root mean square of 1, and features by a gain: ``gain * x / sqrt(mean(x^2) + eps)``.

    The same numbers as ``nn.RMSNorm``, up to rounding. On the CPU torch composes that, and its gradient, of some
    dozens of small operations; here they are written out.

    Args:
        dim: width of a row, d.

    Example:
        >>> import torch
        >>> RMSNorm(2)(torch.tensor([[3.0, -3.0]])).round(decimals=4).tolist()
        [[1.0, -1.0]]

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization (1910.07467), equation 4.
    """

    inverse_root_dim: Tensor
    root_epsilon: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.ones(dim))
        # Tensors, because a number is wrapped into one at every use. Not saved: they follow from the width and the
        # type.
        self.register_buffer("inverse_root_dim", torch.tensor(dim**-0.5), persistent=False)
        self.register_buffer("root_epsilon", torch.tensor(EPSILON**0.5), persistent=False)

    def forward(self, rows: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Normalise every row.

        Args:
            rows: (..., d).

        Returns:
            (..., d) of the same type.
        """
        if rows.device.type != "cpu" or rows.dtype in (torch.bfloat16, torch.float16):
            return F.rms_norm(rows, (self.dim,), self.weight, EPSILON)
        if torch.is_grad_enabled():
            normal: Tensor = _Normalise.apply(rows, self.weight, self.inverse_root_dim, self.root_epsilon)
            return normal
        return (rows / root_mean_square(rows, self.inverse_root_dim, self.root_epsilon)).mul_(self.weight)


def root_mean_square(
    rows: Float[Tensor, "*batch d"], inverse_root_dim: Float[Tensor, ""], root_epsilon: Float[Tensor, ""]
) -> Float[Tensor, "*batch 1"]:
    """``sqrt(mean(x^2) + eps)`` of every row, from ``1 / sqrt(d)`` and ``sqrt(eps)``."""
    return torch.linalg.vector_norm(rows, dim=-1, keepdim=True).mul_(inverse_root_dim).hypot_(root_epsilon)


class _Normalise(torch.autograd.Function):
    """``y = w n`` with ``n = x / r`` and the row's ``r = sqrt(mean(x^2) + eps)``.

    Then ``dw = sum(dy n)`` and ``dx = (dy w - n mean(dy n w)) / r``, in which both sums share a product.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, inverse_root_dim: Tensor, root_epsilon: Tensor) -> Tensor:
        scale = root_mean_square(rows, inverse_root_dim, root_epsilon).reciprocal_()
        normalised = rows * scale
        ctx.save_for_backward(normalised, scale, weight)
        return normalised * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        normalised, scale, weight = ctx.saved_tensors
        (gradient,) = gradients
        product = gradient * normalised
        along = (product @ weight).unsqueeze(-1).div_(weight.numel())
        of_rows = torch.mul(gradient, weight).addcmul_(normalised, along, value=-1).mul_(scale)
        return of_rows, product.view(-1, weight.numel()).sum(dim=0), None, None
