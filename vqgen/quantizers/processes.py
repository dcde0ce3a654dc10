"""Sums and samples over all processes of a distributed run, so that a codebook is the same in each."""

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def distributed() -> bool:
    """Whether more than one process trains together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(value: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Sum of `value` over all processes, in place; each must call it with the same shape."""
    if distributed():
        dist.all_reduce(value)
    return value


def gather_rows(rows: Shaped[Tensor, "m d"]) -> Shaped[Tensor, "M d"]:
    """Rows of all processes in rank order, the same on each; each must give equally many."""
    if not distributed():
        return rows
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def from_first_process(value: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Give every process the value that the first one has, in place."""
    if distributed():
        dist.broadcast(value, src=0)
    return value


def mean_over_processes(value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Mean of `value` over all processes, whose gradient goes to this process' own value with weight 1.

    Distributed training averages the gradients of the processes afterwards; with weight 1 here, that average is the
    gradient of a loss of the mean.
    """
    if not distributed():
        return value
    mean = sum_over_processes(value.detach().clone()) / dist.get_world_size()
    return value + (mean - value).detach()
