"""Which keys each block of queries has to gather: a constant of a pattern and a grid, whatever the order."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention.predicate import Part, Predicate

PAIRS = 1 << 20
"""Pairs that a predicate is asked about at a time, which bounds the memory it takes."""


@dataclass(frozen=True)
class Piece:
    """Blocks of queries that each meet equally many keys.

    Attributes:
        queries: (g, q) places.
        keys: (g, u) places that some query of the block may meet, -1 where there are fewer.
        allowed: (g, q, u) which pairs may meet.
        opens: whether it is of the first part, whose blocks hold every query once.
    """

    queries: Int[Tensor, "g q"]
    keys: Int[Tensor, "g u"]
    allowed: Bool[Tensor, "g q u"]
    opens: bool

    def to(self, device: torch.device) -> "Piece":
        """The same on another device."""
        return Piece(self.queries.to(device), self.keys.to(device), self.allowed.to(device), self.opens)


def layout_of(pattern: Predicate, height: int, width: int, device: torch.device) -> tuple[Piece, ...]:
    """Cut a pattern into pieces, or find what was cut before.

    Args:
        pattern: the pattern.
        height: rows of the grid, h.
        width: columns of the grid, w.
        device: where the pieces go.

    Returns:
        The pieces, those that open first; each pair that the pattern allows is in exactly one of them.

    Example:
        >>> from vqgen.attention import RowAttention
        >>> pieces = layout_of(RowAttention(), 4, 4, torch.device("cpu"))
        >>> [tuple(piece.allowed.shape) for piece in pieces], sum(int(piece.allowed.sum()) for piece in pieces)
        ([(4, 4, 4)], 48)
    """
    key = ("layout", height, width, str(device))
    if key not in pattern.constants:
        with torch.inference_mode(False), torch.no_grad():  # what is kept must serve training too
            parts = pattern.parts(height=height, width=width)
            pieces = [
                piece.to(device)
                for index in range(len(parts))
                for piece in _pieces(pattern, parts, index, height * width)
            ]
            pattern.constants[key] = tuple(pieces)
    found: tuple[Piece, ...] = pattern.constants[key]
    return found


def allowed_once(
    pattern: Predicate, parts: tuple[Part, ...], index: int, query: Int[Tensor, "*#p"], key: Int[Tensor, "*#p"]
) -> Bool[Tensor, "*p"]:
    """Say which pairs a part has to take care of: possible ones that no part before it allows.

    Args:
        pattern: the pattern.
        parts: its parts.
        index: of the part.
        query: places of queries.
        key: places of keys; both broadcast.

    Returns:
        True for the part's own pairs.
    """
    # No content is visited before itself; of steps, only earlier ones are.
    own = parts[index].allowed(query, key) & ((key < query) if pattern.space == "steps" else (key != query))
    for part in parts[:index]:
        own = own & ~part.allowed(query, key)
    return own


def _pieces(pattern: Predicate, parts: tuple[Part, ...], index: int, places: int) -> Iterator[Piece]:
    part, every = parts[index], torch.arange(places)
    found: dict[tuple[int, int], list[tuple[Tensor, Tensor, Tensor]]] = {}
    blocks = torch.split(part.arrangement, part.block)
    for start in range(0, len(blocks), max(1, PAIRS // (part.block * places))):
        some = blocks[start : start + max(1, PAIRS // (part.block * places))]
        own = allowed_once(pattern, parts, index, torch.cat(some)[:, None], every)  # (some * q, n)
        for rows, pairs in zip(some, torch.split(own, part.block), strict=True):
            keys = pairs.any(0).nonzero()[:, 0]
            if index == 0 or len(keys):
                # Blocks that meet few keys should not be padded to the size of those that meet many.
                found.setdefault((len(rows), max(len(keys) - 1, 0).bit_length()), []).append(
                    (rows, keys, pairs[:, keys])
                )
    for alike in found.values():
        most = max(len(keys) for _, keys, _ in alike)
        yield Piece(
            torch.stack([rows for rows, _, _ in alike]),
            torch.stack([F.pad(keys, (0, most - len(keys)), value=-1) for _, keys, _ in alike]),
            torch.stack([F.pad(pairs, (0, most - pairs.shape[1])) for _, _, pairs in alike]),
            opens=index == 0,
        )
