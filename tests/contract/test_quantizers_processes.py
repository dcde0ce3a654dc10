"""Codebook statistics and restarts stay in step over two processes."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vqgen.quantizers import EMAVectorQuantizer, VectorQuantizer

KINDS = {"vector": VectorQuantizer, "ema": EMAVectorQuantizer}


def train_two_steps(kind: str, latents: torch.Tensor, *, kmeans_start: bool, restart_below: float):
    torch.manual_seed(0)
    quantizer = KINDS[kind](8, 4, kmeans_start=kmeans_start, restart_below=restart_below, usage_decay=0.5)
    for step in range(2):
        torch.manual_seed(step + (dist.get_rank() * 100 if dist.is_initialized() else 0))
        quantizer(latents + step)
    return {name: value.detach().clone() for name, value in quantizer.state_dict().items()}


def worker(rank: int, port: int, kind: str, halves: list[torch.Tensor], options: dict, results) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    state = train_two_steps(kind, halves[rank], **options)
    results[rank] = {name: value.numpy() for name, value in state.items()}
    dist.barrier()
    dist.destroy_process_group()


def in_two_processes(kind: str, latents: torch.Tensor, **options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, (port, kind, list(latents.chunk(2)), options, results), nprocs=2)
        return [{name: torch.from_numpy(value) for name, value in results[rank].items()} for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_codebooks_are_the_same_in_both_processes(kind):
    torch.manual_seed(0)
    latents = torch.randn(8, 4, 3, 3)
    first, second = in_two_processes(kind, latents, kmeans_start=True, restart_below=0.5)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_all():
    torch.manual_seed(0)
    latents = torch.randn(8, 4, 3, 3)
    first, _ = in_two_processes("ema", latents, kmeans_start=False, restart_below=0.0)
    alone = train_two_steps("ema", latents, kmeans_start=False, restart_below=0.0)
    assert torch.allclose(first["codebook"], alone["codebook"], atol=1e-5)
    assert torch.allclose(first["counts"], alone["counts"], atol=1e-5)
