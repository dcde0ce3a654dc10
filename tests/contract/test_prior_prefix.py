"""Rows that a condition puts before the start are seen by all, under every attention that is no pattern."""

import pytest
import torch
from torch import Tensor, nn

from vqgen.attention import LSHAttention, SegmentAttention
from vqgen.conditioning import Conditioner, Told
from vqgen.prior import Prior, with_memory

KINDS = {
    "hashed": {"attention": LSHAttention(3), "signals": ("target",), "reversible": True},
    "segments": {"attention": SegmentAttention(4, memory=2), "signals": ("target", "relative")},
    "no-memory": {"attention": SegmentAttention(3, memory=0), "signals": ("target", "rotary")},
    "shaw": {"signals": ("shaw",)},
    "relative": {"signals": ("relative",), "reversible": True},
}
every_kind = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS.keys())


class ThreeRows(Conditioner):
    """A label as three rows before the start."""

    prefix_rows = 3

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.table = nn.Embedding(4, 4 * dim)

    def forward(self, condition: Tensor | None, batch_size: int, generator: torch.Generator | None = None) -> Told:
        condition = torch.full((batch_size,), 3) if condition is None else condition % 4
        start, *prefix = self.table(condition).view(batch_size, 4, -1).unbind(1)
        return Told(start, prefix=torch.stack(prefix, dim=1))


def lively_prior(settings: dict) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 4, 4, dim=16, depth=2, heads=2, conditioner=ThreeRows(16), **settings)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.4)
    return prior.double()


@every_kind
@torch.no_grad()
def test_cached_logits_equal_the_full_forward_pass(settings) -> None:
    prior, positions = lively_prior(settings), torch.stack([torch.randperm(16), torch.arange(16)])
    sequence, condition, cache = torch.randint(20, (2, 16)), torch.tensor([0, 2]), prior.new_cache(2)
    full = prior(sequence, positions, condition)
    pieces = [prior.advance(sequence[:, :2], positions, cache, condition)]
    pieces += [prior.advance(sequence[:, step : step + 1], positions, cache) for step in range(2, 9)]
    pieces += [prior.advance(sequence[:, 9:15], positions, cache)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=1e-10, rtol=0.0)
    asked = prior.new_cache(2)
    prior.advance(sequence[:, :9], positions, asked, condition)
    answers = prior.advance(sequence[:, 9:10], positions, asked, cells=positions[:, 10:13])
    torch.testing.assert_close(answers[:, 0], full[:, 10], atol=1e-10, rtol=0.0)


@every_kind
def test_every_step_is_told_the_condition_and_its_gradient_flows(settings) -> None:
    prior, positions = lively_prior(settings), torch.randperm(16)
    logits = prior(torch.randint(20, (2, 16)), positions, torch.tensor([0, 2]))
    for step in range(16):
        (gradient,) = torch.autograd.grad(
            logits[0, step].square().sum(), prior.conditioner.table.weight, retain_graph=True
        )
        told = gradient[0].view(4, 16).abs().sum(dim=1) > 0
        assert told.tolist() == [True] * 4
        assert gradient[2].count_nonzero() == 0


def test_a_memory_of_the_whole_grid_is_dense_behind_a_prefix_too() -> None:
    prior, batch = lively_prior(KINDS["segments"]), (torch.randint(20, (2, 16)), torch.arange(16), torch.tensor([1, 0]))
    dense = lively_prior({"signals": ("target", "relative")})
    dense.load_state_dict(prior.state_dict())
    torch.testing.assert_close(with_memory(prior, 16)(*batch), dense(*batch), atol=1e-10, rtol=0.0)
