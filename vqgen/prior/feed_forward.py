"""The position-wise half of a Transformer block: GELU or SwiGLU."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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
        output: Tensor = self.narrow(F.gelu(self.widen(hidden)))
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
