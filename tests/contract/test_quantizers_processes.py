"""Statistics, restarts and losses of the batch are those of both processes together."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from vqgen.quantizers import (
    EMAVectorQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)

RESTARTING = {"kmeans_start": True, "restart_below": 0.5, "usage_decay": 0.5}
STEADY = {"kmeans_start": False, "restart_below": 0.0}
# Those that keep statistics, with restarts, which draw samples; and without, which one process can repeat exactly.
KINDS = {
    "vector": lambda: VectorQuantizer(8, 4, **RESTARTING),
    "ema": lambda: EMAVectorQuantizer(8, 4, **RESTARTING),
    "ema-l2": lambda: EMAVectorQuantizer(8, 4, l2_normalise=True, **RESTARTING),
    "residual": lambda: ResidualQuantizer(EMAVectorQuantizer(8, 4, **RESTARTING), depth=2),
    "ema-steady": lambda: EMAVectorQuantizer(8, 4, **STEADY),
    "residual-steady": lambda: ResidualQuantizer(EMAVectorQuantizer(8, 4, **STEADY), depth=2),
}


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def train_two_steps(kind: str, latents: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    quantizer: Quantizer = KINDS[kind]()
    for step in range(2):
        torch.manual_seed(step + 100 * rank())  # each process draws its own numbers
        quantizer(latents + step)
    return {name: value.detach().clone() for name, value in quantizer.state_dict().items()}


def entropy_loss(latents: Tensor) -> dict[str, Tensor]:
    """Loss and gradient by a weight in front of the quantizer, averaged over processes as in distributed training."""
    quantizer = LookupFreeQuantizer(16, commitment=0.0, entropy_temperature=1.0)
    weight = torch.eye(4).requires_grad_(True)
    loss = quantizer(torch.einsum("oc,bchw->bohw", weight, latents)).loss
    loss.backward()
    found = {"loss": loss.detach(), "gradient": weight.grad}
    if dist.is_initialized():
        for value in found.values():
            dist.all_reduce(value)
            value /= dist.get_world_size()
    return found


def worker(rank: int, port: int, halves: list[Tensor], results) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = {kind: train_two_steps(kind, halves[rank]) for kind in KINDS}
    found["lookup-free"] = entropy_loss(halves[rank])
    results[rank] = {kind: {name: value.numpy() for name, value in state.items()} for kind, state in found.items()}
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def in_two_processes(latents):
    """What each process found for each kind, from its half of the latents."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, (port, list(latents.chunk(2)), results), nprocs=2)
        return [
            {
                kind: {name: torch.from_numpy(value) for name, value in state.items()}
                for kind, state in results[rank].items()
            }
            for rank in (0, 1)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_codebooks_are_the_same_in_both_processes(in_two_processes, kind):
    first, second = (found[kind] for found in in_two_processes)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ema-steady", "residual-steady"])
def test_two_processes_learn_what_one_learns_from_all(in_two_processes, latents, kind):
    alone = train_two_steps(kind, latents)
    for name, value in in_two_processes[0][kind].items():
        assert torch.allclose(value, alone[name], atol=1e-5), name


@pytest.mark.slow
def test_entropy_loss_and_its_gradient_are_those_of_the_whole_batch(in_two_processes, latents):
    alone = entropy_loss(latents)
    for name, value in in_two_processes[0]["lookup-free"].items():
        assert torch.allclose(value, alone[name], atol=1e-6), name
