"""Sums and samples over all processes of a distributed run, so that a codebook is the same in each."""

import torch
import torch.distributed as dist
from jaxtyping import Shaped
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
