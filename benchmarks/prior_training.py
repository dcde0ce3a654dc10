"""A plain loop that trains a small prior on codes, the same for everything that is compared."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from vqgen.conditioning import SpatialConditioner
from vqgen.orders import OrderPolicy
from vqgen.prior import Prior
from vqgen.training import Optimization
from vqgen.training.muon import MuonAdamW

LEARNING_RATE = 2e-3


def make_prior(codes: int, signals: tuple[str, ...], *, quick: bool, seed: int) -> Prior:
    """4 layers of 128 on 8 x 8 codes, with the weights that belong to the seed."""
    torch.manual_seed(seed)
    dim, depth, heads = (16, 1, 2) if quick else (128, 4, 4)
    return Prior(codes, 8, 8, dim=dim, depth=depth, heads=heads, signals=signals)


def training_steps(
    prior: Prior,
    codes: Tensor,
    policy: OrderPolicy,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    conditions: Tensor | None = None,
) -> Iterator[float]:
    """Train, one step at a time, on the same batches and orders for the same seed, where the codes are.

    Yields:
        The seconds that each step took.
    """
    told = prior.conditioner
    edges = [prior.head, *(() if prior.code_features is None else prior.code_features.children())]
    if isinstance(told, SpatialConditioner) and told.from_latents is not None:
        edges.append(told.from_latents)
    groups = Optimization(LEARNING_RATE, "muon").parameter_groups(prior, edges)
    optimizer = MuonAdamW(groups, lr=LEARNING_RATE, newton_schulz_steps=3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 20, 1.0) * max(1.0 - step / steps, 0.02)
    )
    generator = torch.Generator().manual_seed(seed)
    prior.train()
    for _ in range(steps):
        drawn = torch.randint(len(codes), (batch_size,), generator=generator).to(codes.device)
        batch, condition = codes[drawn], None if conditions is None else conditions[drawn]
        positions = policy.positions(batch_size, generator).to(codes.device)
        start = time.perf_counter()
        loss_of(prior, batch, positions, condition).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        yield time.perf_counter() - start
    prior.eval()


def loss_of(prior: Prior, codes: Tensor, positions: Tensor, condition: Tensor | None = None) -> Tensor:
    return prior.nll(codes, positions, condition).mean()


@torch.no_grad()
def nats_per_code(prior: Prior, codes: Tensor, policy: OrderPolicy, conditions: Tensor | None = None) -> float:
    """On held-out codes, in the policy's orders; random ones are the same at every call."""
    prior.eval()
    positions = policy.positions(len(codes), torch.Generator().manual_seed(0)).to(codes.device)
    total = 0.0
    for first in range(0, len(codes), 64):
        part = slice(first, first + 64)
        condition = None if conditions is None else conditions[part]
        total += float(loss_of(prior, codes[part], positions[part], condition)) * len(codes[part])
    return total / len(codes)
