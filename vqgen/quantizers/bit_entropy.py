"""Entropies of distributions over 2^d codes whose bits are independent, without a table of (rows, 2^d)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers.processes import mean_over_processes


def entropy_of_bits(log_odds: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """Entropy of each row's distribution over its 2^d codes: the sum of the entropies of its bits.

    Args:
        log_odds: (n, d), `log p(bit = 1) / p(bit = 0)` of each bit.

    Returns:
        (n,) nats in [0, d log 2].

    Example:
        >>> entropy_of_bits(torch.zeros(1, 3)).div(torch.log(torch.tensor(2.0))).tolist()
        [3.0]
    """
    one, zero = F.logsigmoid(log_odds), F.logsigmoid(-log_odds)
    return -(one.exp() * one + zero.exp() * zero).sum(1)


def entropy_of_mean(log_odds: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Entropy of the mean of all rows' distributions over 2^d codes, the rows of all processes together.

    A mean of products is no product, so all 2^d probabilities of the mean are needed. With the code split into its
    first and last bits, `mean_n p_n(first) p_n(last)` is one product of matrices (2^(d/2), n) and (n, 2^(d/2)).

    Args:
        log_odds: (n, d), as in `entropy_of_bits`.

    Returns:
        Scalar, nats in [0, d log 2].

    Example:
        >>> sure = 100 * torch.tensor([[1.0, 1.0], [1.0, -1.0]])  # codes 3 and 2
        >>> round(entropy_of_mean(sure).exp().item(), 3)
        2.0
    """
    first = (log_odds.shape[1] + 1) // 2
    left, right = _all_patterns(log_odds[:, :first]), _all_patterns(log_odds[:, first:])
    mean = mean_over_processes(left.t() @ right / len(log_odds))
    # Below the smallest normal number p log p is 0 for all purposes, and its gradient stays finite.
    return -(mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()


def _all_patterns(log_odds: Float[Tensor, "n m"]) -> Float[Tensor, "n patterns"]:
    """Probabilities of all 2^m patterns of independent bits, the first bit highest."""
    bits = log_odds.shape[1]
    numbers = torch.arange(2**bits, device=log_odds.device)
    powers = 2 ** torch.arange(bits - 1, -1, -1, device=log_odds.device)
    patterns = (numbers[None] // powers[:, None] % 2).to(log_odds.dtype)  # (m, 2^m)
    return (F.logsigmoid(log_odds) @ patterns + F.logsigmoid(-log_odds) @ (1 - patterns)).exp()
