"""Attention along a pattern through PyTorch's FlexAttention, whose kernels skip blocks in which no pair may meet."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import flex_attention as flex

from vqgen.attention.base import Places
from vqgen.attention.layout import PAIRS, allowed_once
from vqgen.attention.predicate import Part, Predicate

BLOCK = 128
"""Rows and columns of the blocks that FlexAttention skips or computes."""


def flex_serves(query: Float[Tensor, "b heads m e"]) -> bool:
    """Whether FlexAttention computes what is asked here: on a GPU all but tiny heads, on a CPU inference alone.

    Args:
        query: (b, heads, m, e).

    Returns:
        False where another kernel has to do.

    Example:
        >>> flex_serves(torch.zeros(1, 1, 4, 8, requires_grad=True))
        False
    """
    if query.device.type == "cpu":
        return not query.requires_grad and query.dtype in (torch.float32, torch.bfloat16)
    return query.shape[3] >= 16 and query.dtype != torch.float64


def flex_tells_sums(device: torch.device) -> bool:
    """Whether FlexAttention also gives the sums of exponentials, by which parts are put together.

    Args:
        device: of the queries.

    Returns:
        False on a CPU.

    Example:
        >>> flex_tells_sums(torch.device("cpu"))
        False
    """
    return device.type != "cpu"


@dataclass(frozen=True)
class FlexTable:
    """One part of a pattern in its own arrangement: a constant, whatever the order.

    Attributes:
        arrangement: (n,) the places in the order in which they are cut into blocks.
        allowed: (m, m + 1) which rows may meet which keys, in that order; at the end what has no place.
        counts: (1, 1, blocks) how many blocks of keys each block of queries meets.
        blocks: (1, 1, blocks, most) which.
    """

    arrangement: Int[Tensor, " n"]
    allowed: Bool[Tensor, "m t"]
    counts: Int[Tensor, "1 1 blocks"]
    blocks: Int[Tensor, "1 1 blocks most"]


@dataclass(frozen=True)
class FlexPart:
    """A part of a pattern under an order. Sizes of 1 stand for an order that all images share.

    Attributes:
        queries: (b, m) the row of each query, arranged.
        keys: (b, m + 1) the row of each key, arranged.
        back: (b, m) where each row stands among the arranged queries.
        mask: which blocks, and in them which pairs, meet.
    """

    queries: Int[Tensor, "b m"]
    keys: Int[Tensor, "b t"]
    back: Int[Tensor, "b m"]
    mask: flex.BlockMask


@dataclass(frozen=True)
class FlexPlan:
    """All parts of a pattern under an order.

    Attributes:
        parts: each pair that meets is in one of them.
    """

    parts: tuple[FlexPart, ...]

    @classmethod
    def of(cls, pattern: Predicate, places: Places) -> FlexPlan:
        """Find the rows of a pattern's places.

        Args:
            pattern: which pairs may meet.
            places: of a pass over the whole grid.

        Returns:
            The plan; of one part where FlexAttention gives nothing to put several together by.
        """
        first, target = places.prefix, places.target[:, places.prefix :]
        steps = torch.arange(target.shape[1], device=target.device).expand_as(target)
        if pattern.space == "cells":
            steps = torch.empty_like(target).scatter_(1, target, steps)  # (b, n) step at which each cell is visited
        else:
            steps = steps[:1]
        before = torch.arange(-first, 1, device=target.device).expand(len(steps), -1)
        parts = []
        for table in _tables(pattern, places.height, places.width, first, target.device):
            arranged = steps[:, table.arrangement]
            # Rows before the start count on downwards from its step: of them, too, each sees those before it.
            asked, held = torch.cat((arranged, before[:, :-1]), 1), torch.cat((arranged, before - 1), 1)
            queries, keys = asked + first, (held + first + 1).clamp_max(asked.shape[1] - 1)
            places_in = torch.arange(queries.shape[1], device=target.device).expand_as(queries)
            back = torch.empty_like(queries).scatter_(1, queries, places_in)
            parts.append(FlexPart(queries, keys, back, _block_mask(table, asked.int(), held.int())))
        return cls(tuple(parts))


def flex_pattern_attention(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads m e"],
    values: Float[Tensor, "b heads m e"],
    plan: FlexPlan,
) -> Float[Tensor, "b heads m e"]:
    """Attend to the start and along a pattern, each part in its own arrangement, and put the parts' softmax together.

    Args:
        query: (b, heads, m, e) queries of all rows.
        keys: (b, heads, m, e) keys.
        values: (b, heads, m, e) values.
        plan: for these rows.

    Returns:
        (b, heads, m, e) one mixture of values per query.

    Source: Dong et al., Flex Attention (2412.05496).
    """
    device = query.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        query, keys, values = query.to(dtype), keys.to(dtype), values.to(dtype)
    several = len(plan.parts) > 1
    mixed, sums = [], []
    for part in plan.parts:
        arranged = (_rows(query, part.queries), _rows(keys, part.keys), _rows(values, part.keys))
        found, log_sum = _attend(*arranged, part.mask, sums=several)
        mixed.append(_rows(found, part.back))
        if log_sum is not None:
            sums.append(_rows(log_sum[..., None], part.back))
    if not several:
        return mixed[0]
    shares = torch.stack(sums).softmax(0).to(query.dtype)
    whole = shares[0] * mixed[0]
    for share, part_mixed in zip(shares[1:], mixed[1:], strict=True):
        whole = whole + share * part_mixed
    return whole


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows (b, heads, m, e) in another order, one for all images or one for each."""
    if len(index) == 1:
        return tensor.index_select(2, index[0])
    return tensor.gather(2, index[:, None, :, None].expand(-1, tensor.shape[1], -1, tensor.shape[3]))


def _attend(
    query: Tensor, keys: Tensor, values: Tensor, mask: flex.BlockMask, *, sums: bool
) -> tuple[Tensor, Tensor | None]:
    if not sums:
        return compiled_flex_attention()(query, keys, values, block_mask=mask), None
    mixed, told = compiled_flex_attention()(query, keys, values, block_mask=mask, return_aux=flex.AuxRequest(lse=True))
    return mixed, told.lse


@functools.cache
def compiled_flex_attention() -> Callable[..., Any]:
    """FlexAttention as one kernel, compiled when it is first called for a shape."""
    # Grids, batches, training or not: each is a kernel of its own, and by default torch gives up after eight.
    known = inspect.signature(torch.compile).parameters
    limits: dict[str, Any] = {"recompile_limit": 64} if "recompile_limit" in known else {}
    compiled: Callable[..., Any] = torch.compile(flex.flex_attention, dynamic=False, **limits)
    return compiled


def _block_mask(table: FlexTable, asked: Int[Tensor, "b m"], held: Int[Tensor, "b t"]) -> flex.BlockMask:
    allowed = table.allowed
    # Lambdas, which checks of annotations leave alone: they are traced into the kernel.
    if len(asked) == 1:
        meets = lambda image, head, query, key: allowed[query, key] & (held[0, key] < asked[0, query])  # noqa: E731
    else:
        meets = lambda image, head, query, key: allowed[query, key] & (held[image, key] < asked[image, query])  # noqa: E731
    return flex.BlockMask.from_kv_blocks(
        table.counts, table.blocks, BLOCK_SIZE=BLOCK, mask_mod=meets, seq_lengths=(asked.shape[1], held.shape[1])
    )


def _tables(pattern: Predicate, height: int, width: int, prefix: int, device: torch.device) -> tuple[FlexTable, ...]:
    name = ("flex", height, width, prefix, str(device))
    if name not in pattern.constants:
        with torch.inference_mode(False), torch.no_grad():  # what is kept must serve training too
            parts = pattern.parts(height=height, width=width)
            if len(parts) > 1 and not flex_tells_sums(device):

                def allowed(query: Tensor, key: Tensor) -> Tensor:
                    return pattern.allowed(query, key, height=height, width=width)

                parts = (Part(allowed, parts[0].arrangement),)
            pattern.constants[name] = tuple(
                [_table(pattern, parts, index, prefix, device) for index in range(len(parts))]
            )
    found: tuple[FlexTable, ...] = pattern.constants[name]
    return found


def _table(pattern: Predicate, parts: tuple[Part, ...], index: int, prefix: int, device: torch.device) -> FlexTable:
    arranged = parts[index].arrangement
    pairs = [
        allowed_once(pattern, parts, index, some[:, None], arranged[None])
        for some in torch.split(arranged, max(1, PAIRS // len(arranged)))
    ]
    allowed = F.pad(torch.cat(pairs), (0, prefix + 1, 0, prefix))
    allowed[:, len(arranged) :] = index == 0  # the first part has what is seen by all
    rows, keys = allowed.shape
    padded = F.pad(allowed, (0, -keys % BLOCK, 0, -rows % BLOCK))
    met = padded.view(padded.shape[0] // BLOCK, BLOCK, -1, BLOCK).any(3).any(1)  # (blocks, blocks)
    counts, blocks = met.sum(1).int(), met.int().argsort(dim=1, descending=True, stable=True).int()
    return FlexTable(
        arranged.to(device), allowed.to(device), counts[None, None].to(device), blocks[None, None].to(device)
    )
