"""Locality-sensitive hashing of rows, and attention among the rows that share a bucket, at a cost that grows with n."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

UNSEEN = -1e9
"""Score of a key that is not seen: finite, so that a round in which a row sees nothing is sound and weighs nothing."""

NOWHERE = 2**30
"""A place that is after every row's: what fills up a chunk is met by none."""


@lru_cache(maxsize=64)
def random_rotations(
    seed: int, *, heads: int, rounds: int, head_dim: int, buckets: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "heads rounds e half"]:
    """Draw the directions that rows are hashed by, the same for the same arguments.

    Args:
        seed: of the directions.
        heads: number of heads, each with its own directions.
        rounds: hashes per row.
        head_dim: width of a head, e.
        buckets: number of buckets, even.
        device: where they go.
        dtype: of the rows to hash.

    Returns:
        (heads, rounds, e, buckets / 2) standard normal numbers.

    Example:
        >>> where = {"device": torch.device("cpu"), "dtype": torch.float32}
        >>> random_rotations(0, heads=2, rounds=3, head_dim=4, buckets=6, **where).shape
        torch.Size([2, 3, 4, 3])
    """
    with torch.inference_mode(False):  # kept for later calls, which may train
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(heads, rounds, head_dim, buckets // 2, generator=generator, dtype=torch.float64)
        return drawn.to(device=device, dtype=dtype)


def lsh_buckets(
    rows: Float[Tensor, "b heads n e"], rotations: Float[Tensor, "heads rounds e half"]
) -> Int[Tensor, "b heads rounds n"]:
    """Hash every row, once a round: ``h(x) = argmax([x R, -x R])``. Rows that point alike are likely to share a bucket.

    Args:
        rows: (b, heads, n, e), of any length.
        rotations: (heads, rounds, e, buckets / 2) from `random_rotations`; none for a single bucket.

    Returns:
        (b, heads, rounds, n) number of the bucket, from 0.

    Example:
        >>> rows = torch.tensor([[1.0, 0.1], [2.0, 0.3], [-1.0, 0.0]]).view(1, 1, 3, 2)
        >>> lsh_buckets(rows, torch.eye(2).view(1, 1, 2, 2)).flatten().tolist()
        [0, 0, 2]

    Source: Kitaev et al., Reformer (2001.04451), section 2, after Andoni et al. (1509.02897).
    """
    if rotations.shape[-1] == 0:
        return rows.new_zeros((*rows.shape[:2], rotations.shape[1], rows.shape[2]), dtype=torch.int64)
    turned = torch.einsum("bhne,hrek->bhrnk", rows.detach(), rotations)
    return torch.cat((turned, -turned), dim=-1).argmax(dim=-1)


def visible_in_buckets(
    own: Int[Tensor, "b heads rounds m"],
    buckets: Int[Tensor, "b heads rounds t"],
    before: Bool[Tensor, "m t"],
    window: int,
) -> Bool[Tensor, "b heads m t"]:
    """Say which rows each query meets: in any round, the last few before it that share its bucket.

    Written as it is defined, at a cost of m t; `attend_in_buckets` comes to the same without looking at every pair.

    Args:
        own: (b, heads, rounds, m) buckets of the queries.
        buckets: (b, heads, rounds, t) buckets of the keys.
        before: (m, t) which keys come before each query at all.
        window: rows of its bucket that a query looks back on, >= 1.

    Returns:
        (b, heads, m, t) whether the query meets the key.

    Example:
        >>> buckets = torch.tensor([0, 1, 0, 0]).view(1, 1, 1, 4)
        >>> before = torch.ones(4, 4, dtype=torch.bool).tril(-1)
        >>> visible_in_buckets(buckets, buckets, before, window=1)[0, 0].int()
        tensor([[0, 0, 0, 0],
                [0, 0, 0, 0],
                [1, 0, 0, 0],
                [0, 0, 1, 0]], dtype=torch.int32)
    """
    shared = (own[..., :, None] == buckets[..., None, :]) & before  # (b, heads, rounds, m, t)
    from_the_end = shared.flip(-1).cumsum(dim=-1, dtype=torch.int32).flip(-1)  # 1 for the latest, 2 for the one before
    return (shared & (from_the_end <= window)).any(dim=2)


def attend_in_buckets(
    rows: Float[Tensor, "b heads n e"],
    keys: Float[Tensor, "b heads n e"],
    values: Float[Tensor, "b heads n e"],
    buckets: Int[Tensor, "b heads rounds n"],
    window: int,
) -> tuple[Float[Tensor, "b heads rounds n e"], Float[Tensor, "b heads rounds n"]]:
    """Let each row attend, in every round, to the last ``window`` rows before it that share its bucket.

    Rows are sorted by bucket and then by step, and cut into chunks of ``window`` rows; what a row looks back on then
    lies in its own chunk and the one before, so it is enough to multiply those: ``2 n window`` scores a round. A pair
    that meets in several rounds would count several times; the score of each is lowered by the logarithm of how many.

    Args:
        rows: (b, heads, n, e) queries in visiting order.
        keys: (b, heads, n, e) of the same rows.
        values: (b, heads, n, e) of the same rows.
        buckets: (b, heads, rounds, n) from `lsh_buckets`.
        window: rows of its bucket that a row looks back on, >= 1.

    Returns:
        (b, heads, rounds, n, e) the mixture of each round, and (b, heads, rounds, n) the logarithm of the sum of the
        exponentiated scores it was divided by; about `UNSEEN` where a row meets none.

    Source: Kitaev et al., Reformer (2001.04451), section 2, "LSH attention in Transformer" and "Multi-round LSH
    attention". There a row sees its own chunk and the one before whole, so how far it looks depends on where a chunk
    begins, and that on rows that come later; here the window is the same for every row.
    """
    count, rounds = rows.shape[2], buckets.shape[2]
    steps = torch.arange(count, device=rows.device)
    order = (buckets * count + steps).argsort(dim=-1)  # (b, heads, rounds, n): which row is at each place
    place = torch.empty_like(order).scatter_(-1, order, steps.expand_as(order))
    # Places with the buckets a window further apart: two rows meet in a round if theirs differ by 1 to `window`.
    spread = (place + buckets * window).int()

    asking = _chunks(_pick(rows, order), window)  # (b, heads, rounds, chunks, window, e)
    asked, told = (_chunks_with_previous(_pick(each, order), window) for each in (keys, values))
    scores = asking @ asked.transpose(-1, -2)  # (b, heads, rounds, chunks, window, 2 window)
    precise = torch.promote_types(scores.dtype, torch.float32)
    scores = scores.to(precise) * rows.shape[-1] ** -0.5
    met = _meet(spread.gather(-1, order), window)
    if rounds > 1:
        meetings = torch.zeros(scores.shape, dtype=torch.uint8, device=rows.device)
        for each in range(rounds):
            meetings += _meet(spread[:, :, each, None].expand_as(order).gather(-1, order), window)
        scores = scores - meetings.clamp_(min=1).to(precise).log_()
    scores = scores.masked_fill(~met, UNSEEN)
    total = scores.logsumexp(dim=-1)  # (b, heads, rounds, chunks, window)
    mixed = (scores - total[..., None]).exp().to(values.dtype) @ told
    back = place[..., None].expand(*place.shape, values.shape[-1])
    return mixed.flatten(3, 4).gather(3, back), total.flatten(3).gather(3, place)


def _pick(rows: Float[Tensor, "b heads n e"], order: Int[Tensor, "b heads rounds n"]) -> Tensor:
    """Rows (b, heads, rounds, n, e) in another order for each round."""
    each = rows[:, :, None].expand(-1, -1, order.shape[2], -1, -1)
    return each.gather(3, order[..., None].expand(each.shape))


def _chunks(sorted_rows: Tensor, window: int, pad: int = 0) -> Tensor:
    """(b, heads, rounds, n, ...) -> (b, heads, rounds, chunks, window, ...), filled up at the end."""
    sizes = [0] * (2 * (sorted_rows.ndim - 4)) + [0, -sorted_rows.shape[3] % window]
    padded = F.pad(sorted_rows, sizes, value=pad)
    return padded.view(*padded.shape[:3], -1, window, *padded.shape[4:])


def _chunks_with_previous(sorted_rows: Tensor, window: int, pad: int = 0) -> Tensor:
    """Each chunk after the one before it, (b, heads, rounds, chunks, 2 window, ...); before the first there is none."""
    chunks = _chunks(sorted_rows, window, pad)
    before = F.pad(chunks[:, :, :, :-1], [0] * (2 * (chunks.ndim - 4)) + [1, 0], value=pad)
    return torch.cat((before, chunks), dim=4)


def _meet(spread: Int[Tensor, "b heads rounds n"], window: int) -> Bool[Tensor, "b heads rounds chunks window both"]:
    """Which rows of a chunk meet which of their own and the previous one, by how far apart they are in a round."""
    apart = _chunks(spread, window)[..., :, None] - _chunks_with_previous(spread, window, NOWHERE)[..., None, :]
    return (apart >= 1) & (apart <= window)
