"""What others measured of orders, to lay beside one's own ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from vqgen.compare.significance import scipy_stats


@dataclass(frozen=True)
class PublishedRanking:
    """Figures of one study, less is better in all of them.

    Attributes:
        study: who, and where it stands.
        figure: what was measured.
        quantity: `nll` or `fid`.
        values: our order's name to (the study's name, its figure).
        note: how far the orders are the same.
    """

    study: str
    figure: str
    quantity: Literal["nll", "fid"]
    values: Mapping[str, tuple[str, float]]
    note: str


PUBLISHED = (
    PublishedRanking(
        "Esser et al., Taming Transformers (arXiv:2012.09841, appendix F)",
        "validation NLL, nats per code, one model per order, 16 x 16",
        "nll",
        {
            "raster": ("row major", 4.767),
            "morton": ("z-curve", 4.810),
            "snake": ("alternate", 4.812),
            "spiral-out": ("spiral out", 4.889),
            "spiral-in": ("spiral in", 4.901),
            "bit-reversal": ("subsample", 5.015),
        },
        "Its spirals turn the other way and start elsewhere; no interval over seeds is given.",
    ),
    PublishedRanking(
        "Ordering study by minkyujeon, 2026",
        "FID of 5,000 samples, small scale, one model per order",
        "fid",
        {
            "diagonal": ("diagonal", 24.97),
            "raster": ("raster", 25.40),
            "column": ("column", 25.95),
            "snake": ("snake", 26.35),
            "spiral-in": ("spiral", 30.94),
            "random": ("fixed random", 44.74),
        },
        "Judges samples, not likelihood; which way its spiral turns is not known; no interval over seeds is given.",
    ),
    PublishedRanking(
        "Yu et al., RAR (arXiv:2411.00776, table 3)",
        "FID of ImageNet samples, random orders annealed to the order named",
        "fid",
        {
            "raster": ("row major", 2.18),
            "morton": ("z-curve", 2.29),
            "bit-reversal": ("subsample", 2.39),
            "spiral-out": ("spiral out", 2.46),
            "snake": ("alternate", 2.48),
            "spiral-in": ("spiral in", 2.50),
        },
        "Trained on random orders first, and its subsample interleaves only once; no interval over seeds is given.",
    ),
)


@dataclass(frozen=True)
class Agreement:
    """A published ranking beside ours, on the orders that both have.

    Attributes:
        published: the study.
        quantity: what our figures are: the study's quantity, or `nll` where we have no FID.
        rows: (our order, the study's name, its figure, its rank, our figure, our rank), the study's best first.
        agreeing: pairs of orders that both rank the same way.
        pairs: pairs of orders.
        rho: Spearman's rank correlation; nan for fewer than three orders.
    """

    published: PublishedRanking
    quantity: Literal["nll", "fid"]
    rows: tuple[tuple[str, str, float, int, float, int], ...]
    agreeing: int
    pairs: int
    rho: float


def agreement(
    published: PublishedRanking, ours: Mapping[str, float], quantity: Literal["nll", "fid"] = "nll"
) -> Agreement | None:
    """Lay a published ranking beside ours.

    Args:
        published: the study.
        ours: our figure for each order, less is better.
        quantity: what our figures are.

    Returns:
        The agreement, or None where fewer than two orders are shared.

    Example:
        >>> found = agreement(PUBLISHED[0], {"raster": 3.1, "snake": 3.3, "morton": 3.2, "hilbert": 3.0})
        >>> found.agreeing, found.pairs, round(found.rho, 3)
        (3, 3, 1.0)
    """
    shared = sorted((order for order in published.values if order in ours), key=lambda name: published.values[name][1])
    if len(shared) < 2:
        return None
    theirs = [published.values[order][1] for order in shared]
    values = [ours[order] for order in shared]
    ranks = {order: rank for rank, order in enumerate(sorted(shared, key=lambda name: ours[name]), 1)}
    pairs = list(combinations(range(len(shared)), 2))
    return Agreement(
        published,
        quantity,
        tuple(
            (order, *published.values[order], rank, ours[order], ranks[order]) for rank, order in enumerate(shared, 1)
        ),
        agreeing=sum((theirs[a] < theirs[b]) == (values[a] < values[b]) for a, b in pairs),
        pairs=len(pairs),
        rho=float(scipy_stats().spearmanr(theirs, values)[0]) if len(shared) > 2 else math.nan,
    )
