"""The position-wise half of a Transformer block: GELU or SwiGLU."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

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
        self.widen = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)

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
        self.widen = nn.Linear(dim, 2 * inner, bias=False)  # gate and value in one multiplication
        self.narrow = nn.Linear(inner, dim, bias=False)

    def forward(self, hidden: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        """Transform each step by itself.

        Args:
            hidden: (b, m, d) normalised hidden states.

        Returns:
            (b, m, d) what to add to them.
        """
        gate, value = self.widen(hidden).chunk(2, dim=-1)
        output: Tensor = self.narrow(F.silu(gate) * value)
        return output
