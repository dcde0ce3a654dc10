"""Attention over gathered blocks: work and memory follow the pattern, and nothing that is gathered is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.base import Places
from vqgen.attention.block_kernel import attend_block, block_gradients
from vqgen.attention.layout import layout_of
from vqgen.attention.predicate import Predicate

ROWS_AT_A_TIME = {"cpu": 1 << 10, "cuda": 1 << 16}
"""Keys gathered at a time: on a CPU they should stay in its cache, and on a GPU their scores take some memory."""


@dataclass(frozen=True)
class BlockRows:
    """Blocks of queries and the keys that each meets, as rows of a pass. Sizes of 1 stand for a shared order.

    Attributes:
        queries: (b, g, q), or (g, q) of blocks of all images.
        keys: (b, g, u) rows, or (g, u); any where a block meets fewer.
        seen: (b, g, q, u), or (g, q, u): which pairs meet.
        opens: whether the softmax over these queries begins here; blocks that do not open add to it.
    """

    queries: Int[Tensor, "*g q"]
    keys: Int[Tensor, "*g u"]
    seen: Bool[Tensor, "*g q u"]
    opens: bool


@dataclass(frozen=True)
class BlockPlan:
    """All blocks of a whole pass under an order.

    Attributes:
        pieces: that each hold blocks of one size; those that open hold every row once and come first.
    """

    pieces: tuple[BlockRows, ...]

    @classmethod
    def of(cls, pattern: Predicate, places: Places) -> BlockPlan:
        """Find the rows of a pattern's places.

        Args:
            pattern: which pairs may meet.
            places: of a pass over the whole grid.

        Returns:
            The plan.
        """
        first, target = places.prefix, places.target[:, places.prefix :]
        device, last = target.device, places.target.shape[1] - 1
        steps = torch.arange(target.shape[1], device=device).expand_as(target)
        if pattern.space == "cells":
            steps = torch.empty_like(target).scatter_(1, target, steps)  # (b, n) step at which each cell is visited
        else:
            steps = steps[:1]
        start = torch.arange(first + 1, device=device)
        pieces = []
        if first:  # what comes before the start sees itself and what is before it
            before = torch.ones(1, 1, first, first, dtype=torch.bool, device=device).tril()
            pieces.append(BlockRows(start[None, None, :-1], start[None, None, :-1], before, opens=True))
        for piece in layout_of(pattern, places.height, places.width, device):
            query, key = steps[:, piece.queries], steps[:, piece.keys]
            # The cell that is visited last is nobody's content.
            keys, seen = (key + first + 1).clamp_max(last), piece.allowed & (key[:, :, None] < query[..., None])
            if piece.opens:
                keys = torch.cat((start.expand(*keys.shape[:2], -1), keys), dim=-1)
                seen = F.pad(seen, (first + 1, 0), value=True)
            pieces.append(BlockRows(query + first, keys, seen, piece.opens))
        return cls(tuple(pieces))


def block_attention(
    query: Float[Tensor, "b heads m e"],
    keys: Float[Tensor, "b heads m e"],
    values: Float[Tensor, "b heads m e"],
    plan: BlockPlan,
) -> Float[Tensor, "b heads m e"]:
    """Attend to the start and along the blocks of a plan.

    The softmax over all keys of a query is put together from those over its pieces: with ``o_p`` the mixture of piece p
    and ``l_p`` the logarithm of its sum of exponentials, ``o = sum_p exp(l_p - l) o_p`` and ``l = log sum_p exp l_p``.
    In the backward pass each piece is gathered and computed again, from ``l``.

    Args:
        query: (b, heads, m, e) queries of all rows.
        keys: (b, heads, m, e) keys.
        values: (b, heads, m, e) values.
        plan: for these rows.

    Returns:
        (b, heads, m, e) one mixture of values per query.

    Source: Dao et al., FlashAttention (2205.14135), section 3.1, which puts a softmax together from blocks.
    """
    device = query.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        query, keys, values = query.to(dtype), keys.to(dtype), values.to(dtype)
    mixed: Tensor = _BlockAttention.apply(query, keys, values, plan)
    return mixed


class _BlockAttention(torch.autograd.Function):
    """Rows of all images stand one after the other, as (b * m, heads * e), so that one index gathers whole rows."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, values: Tensor, plan: BlockPlan) -> Tensor:
        batch, heads, rows, width = query.shape
        with torch.autocast(query.device.type, enabled=False):
            flat = [_flat(tensor) for tensor in (query, keys, values)]
            wide = query.dtype if query.dtype == torch.float64 else torch.float32
            mixed = torch.empty(batch * rows, heads, width, dtype=wide, device=query.device)
            log_sum = torch.empty(batch * rows, heads, dtype=wide, device=query.device)
            for blocks in _chunks(plan, batch, rows):
                queries, met, met_values = _gather(flat, blocks, heads)
                part, part_sum = attend_block(queries, met, met_values, blocks.seen)
                _merge(mixed, log_sum, part, part_sum, blocks)
            out = _unflat(mixed, query)
        ctx.save_for_backward(query, keys, values, out, log_sum)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, values, out, log_sum = ctx.saved_tensors
        plan, gradient = ctx.plan, gradients[0].to(query.dtype)
        batch, heads, rows, width = query.shape
        with torch.autocast(query.device.type, enabled=False):
            flat = [_flat(tensor) for tensor in (query, keys, values, out, gradient)]
            by_query = torch.empty(batch * rows, heads * width, dtype=log_sum.dtype, device=query.device)
            by_key, by_value = torch.zeros_like(by_query), torch.zeros_like(by_query)
            for blocks in _chunks(plan, batch, rows):
                chosen = log_sum.index_select(0, blocks.queries.flatten()).view(*blocks.queries.shape, heads)
                asking, met, met_values, mixed, wanted = _gather(flat, blocks, heads)
                parts = block_gradients(asking, met, met_values, mixed, wanted, chosen.transpose(1, 2), blocks.seen)
                to_queries, to_keys, to_values = (
                    part.transpose(1, 2).reshape(-1, heads * width).to(by_query.dtype) for part in parts
                )
                at, keys_at = blocks.queries.flatten(), blocks.keys.flatten()
                by_query.index_copy_(0, at, to_queries) if blocks.opens else by_query.index_add_(0, at, to_queries)
                by_key.index_add_(0, keys_at, to_keys)
                by_value.index_add_(0, keys_at, to_values)
            found = [_unflat(total, query) for total in (by_query, by_key, by_value)]
        return (*found, None)


def _flat(tensor: Tensor) -> Tensor:
    """(b, heads, m, e) -> (b * m, heads * e), a view of rows as the layers of a prior make them."""
    rows = tensor.transpose(1, 2)
    return rows.reshape(rows.shape[0] * rows.shape[1], -1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    """(b * m, heads * e) -> (b, heads, m, e), in the precision of another tensor."""
    batch, heads, rows, width = like.shape
    return flat.view(batch, rows, heads, width).transpose(1, 2).to(like.dtype)


def _gather(flat: Sequence[Tensor], blocks: BlockRows, heads: int) -> list[Tensor]:
    """Query, keys, values and what else goes with the queries, each (g, heads, rows, e)."""
    found = []
    for index, tensor in enumerate(flat):
        at = blocks.keys if index in (1, 2) else blocks.queries
        found.append(tensor.index_select(0, at.flatten()).view(*at.shape, heads, -1).transpose(1, 2))
    return found


def _merge(mixed: Tensor, log_sum: Tensor, part: Tensor, part_sum: Tensor, blocks: BlockRows) -> None:
    """Take a part's mixtures (g, heads, q, e) into those of its rows, by the sums of exponentials."""
    part, part_sum = part.transpose(1, 2).flatten(0, 1), part_sum.transpose(1, 2).flatten(0, 1)
    at, part = blocks.queries.flatten(), part.to(mixed.dtype)
    if not blocks.opens:
        old = log_sum.index_select(0, at)
        new = torch.logaddexp(old, part_sum)
        held = mixed.index_select(0, at) * (old - new).exp_()[..., None]
        part, part_sum = held.addcmul_(part, (part_sum - new).exp_()[..., None]), new
    mixed.index_copy_(0, at, part)
    log_sum.index_copy_(0, at, part_sum)


def _chunks(plan: BlockPlan, batch: int, rows: int) -> Iterator[BlockRows]:
    """Some blocks at a time, of all images: (b * g, ...) with rows counted over all images."""
    for piece in plan.pieces:
        images = torch.arange(batch, device=piece.keys.device)[:, None, None] * rows
        queries, keys = piece.queries + images, piece.keys + images
        limit = ROWS_AT_A_TIME.get(keys.device.type, ROWS_AT_A_TIME["cuda"])
        count = max(1, limit // (batch * keys.shape[2]))
        for start in range(0, keys.shape[1], count):
            some = slice(start, start + count)
            seen = piece.seen[:, some].expand(batch, -1, -1, -1).flatten(0, 1)
            yield BlockRows(queries[:, some].flatten(0, 1), keys[:, some].flatten(0, 1), seen, piece.opens)
