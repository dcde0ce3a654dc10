"""Finding a fixed order for a data set with a prior that takes any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor
from torch.nn import functional as F

from vqgen.attention import KVCache
from vqgen.metrics import likelihood
from vqgen.orders import ScanOrder
from vqgen.prior import Prior

Objective = Literal["easiest", "hardest", "informative"]
OnStep = Callable[[int, int], None]  # called with the steps done and all steps


@dataclass(frozen=True)
class FoundOrder:
    """An order, and what the prior it was found with says of it.

    Attributes:
        order: the order.
        nats: mean nats per code of the codes searched on.
    """

    order: ScanOrder
    nats: float


def search_order(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    labels: Int[Tensor, " b"] | None = None,
    *,
    objective: Objective = "easiest",
    name: str | None = None,
    batch_size: int = 64,
    on_step: OnStep | None = None,
) -> FoundOrder:
    """Choose cell after cell, each the best by an objective given the cells chosen before it.

    With ``nll(c | S)`` the mean over the images of ``-log p(code at c | codes at S)`` under the prior, and S the cells
    chosen so far, the next cell is, among those that are left,

    - `easiest`: the one with the least ``nll(c | S)``: what is known tells most about it;
    - `hardest`: the one with the greatest;
    - `informative`: the one whose code tells most about the others, each asked by itself: the greatest
      ``sum over c' of nll(c' | S) - nll(c' | S + c)``, c' all that are left but c.

    For a perfect model every order has the same sum (the chain rule), so what is found suits the way this prior errs,
    and it is a proposal: train a prior on it and compare.

    One pass answers for all cells that are left (`Prior.advance` with `cells`): an order takes about n^2 / 2 rows an
    image for `easiest` and `hardest`, n^3 / 3 for `informative`.

    Args:
        prior: trained on random orders.
        codes: (b, h, w) of the data set; some hundred images do.
        labels: (b,) of a conditional prior; None scores without.
        objective: see above.
        name: of the order; the objective with "-first" when left out.
        batch_size: images at a time, which bounds memory.
        on_step: called after each cell.

    Returns:
        The order, and its nats on these codes.

    Raises:
        ValueError: if the objective is unknown, or the codes do not fill the prior's grid.

    Example:
        >>> prior = Prior(16, height=2, width=2, dim=8, depth=1, heads=1)
        >>> found = search_order(prior, torch.randint(16, (8, 2, 2)))
        >>> found.order.name, found.order.positions.sort().values.tolist()
        ('easiest-first', [0, 1, 2, 3])
    """
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be one of {', '.join(get_args(Objective))}, got {objective!r}")
    _check_codes(prior, codes)
    cells = prior.height * prior.width
    batches = [_Batch(prior, *batch) for batch in _batches(prior, codes, labels, batch_size)]
    visited: list[int] = []
    with _evaluating(prior):
        for step in range(cells):
            left = [cell for cell in range(cells) if cell not in visited]
            if objective == "informative":
                scores = -sum((batch.information(visited, left) for batch in batches), torch.zeros(len(left)).double())
            else:
                scores = sum((batch.nats(visited, left).sum(0) for batch in batches), torch.zeros(len(left)).double())
                scores = -scores if objective == "hardest" else scores
            visited.append(left[int(scores.argmin())])
            for batch in batches:
                batch.take(visited)
            if on_step is not None:
                on_step(step + 1, cells)
    order = ScanOrder(name or f"{objective}-first", prior.height, prior.width, torch.tensor(visited))
    return FoundOrder(order, order_nats(prior, codes, order, labels, batch_size=batch_size))


def improve_order(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    order: ScanOrder,
    labels: Int[Tensor, " b"] | None = None,
    *,
    proposals: int,
    seed: int = 0,
    batch_size: int = 64,
    on_step: OnStep | None = None,
) -> FoundOrder:
    """Exchange the visits of two cells, drawn at random, whenever that lowers the nats; local search.

    Args:
        prior: trained on random orders.
        codes: (b, h, w); each proposal scores all of them once.
        order: where to start.
        labels: (b,) of a conditional prior; None scores without.
        proposals: exchanges tried, >= 0.
        seed: draws them.
        batch_size: images at a time.
        on_step: called after each proposal.

    Returns:
        An order that is never worse on these codes, under the same name.
    """
    generator = torch.Generator().manual_seed(seed)
    best = FoundOrder(order, order_nats(prior, codes, order, labels, batch_size=batch_size))
    cells = prior.height * prior.width
    for proposal in range(proposals if cells > 1 else 0):
        a, b = torch.randperm(cells, generator=generator)[:2].tolist()
        positions = best.order.positions.clone()
        positions[[a, b]] = positions[[b, a]]
        tried = ScanOrder(order.name, order.height, order.width, positions)
        nats = order_nats(prior, codes, tried, labels, batch_size=batch_size)
        if nats < best.nats:
            best = FoundOrder(tried, nats)
        if on_step is not None:
            on_step(proposal + 1, proposals)
    return best


def order_nats(
    prior: Prior,
    codes: Int[Tensor, "b h w"],
    order: ScanOrder,
    labels: Int[Tensor, " b"] | None = None,
    *,
    batch_size: int = 64,
) -> float:
    """Mean nats per code of grids under an order.

    Args:
        prior: trained on this order or on random ones.
        codes: (b, h, w).
        order: which.
        labels: (b,) of a conditional prior; None scores without.
        batch_size: images at a time.

    Returns:
        The mean over images and cells.
    """
    _check_codes(prior, codes)
    total = 0.0
    for part, told in _batches(prior, codes, labels, batch_size):
        found = likelihood(prior, order.scan(part), order.positions.to(part.device), told, downsampling=1)
        total += float(found.nats.sum())
    return total / codes.numel()


class _Batch:
    """Some of the images, with a cache of the cells that were chosen."""

    def __init__(self, prior: Prior, codes: Int64[Tensor, "b h w"], labels: Int[Tensor, " b"] | None) -> None:
        self.prior = prior
        self.codes = codes.flatten(1)  # (b, h, w) -> (b, n) in raster order
        self.labels = labels
        self.cache: KVCache = prior.new_cache(len(codes))

    def nats(self, visited: list[int], cells: list[int]) -> Float64[Tensor, "b q"]:
        """-log p of the code at each of these cells, given the visited ones; the cache stays as it was."""
        held = self.cache.length
        asked = torch.tensor(cells, device=self.codes.device)
        logits = self.prior.advance(
            self._new_codes(visited, held), self._positions(visited), self.cache, self.labels, cells=asked
        )
        self.cache.trim(held)
        nats = F.cross_entropy(logits.float().transpose(1, 2), self.codes[:, asked], reduction="none")
        return nats.double().cpu()

    def information(self, visited: list[int], cells: list[int]) -> Float64[Tensor, " q"]:
        """For each cell, by how many nats its code lowers the sum of the others', summed over the images."""
        if len(cells) == 1:
            return torch.zeros(1).double()
        before = self.nats(visited, cells).sum(0)
        others = [[other for other in cells if other != cell] for cell in cells]
        after = [self.nats([*visited, cell], rest).sum() for cell, rest in zip(cells, others, strict=True)]
        return before.sum() - before - torch.stack(after)

    def take(self, visited: list[int]) -> None:
        """Keep in the cache all steps up to the choice of the last visited cell."""
        held = self.cache.length
        self.prior.advance(
            self._new_codes(visited[:-1], held), self._positions(visited), self.cache, self.labels, last_only=True
        )

    def _new_codes(self, visited: list[int], held: int) -> Int64[Tensor, "b p"]:
        """Codes that are not in the cache: it holds the start for step 0, then one code a step."""
        return self.codes[:, visited[max(held - 1, 0) :]] if visited else self.codes[:, :0]

    def _positions(self, visited: list[int]) -> Int64[Tensor, " n"]:
        """The visited cells, then the others in any order."""
        rest = [cell for cell in range(self.codes.shape[1]) if cell not in visited]
        return torch.tensor([*visited, *rest], device=self.codes.device)


def _batches(
    prior: Prior, codes: Int[Tensor, "b h w"], labels: Int[Tensor, " b"] | None, batch_size: int
) -> Iterator[tuple[Int64[Tensor, "_ h w"], Int[Tensor, " _"] | None]]:
    device = prior.code_embedding.weight.device
    for start in range(0, len(codes), batch_size):
        told = labels[start : start + batch_size].to(device) if labels is not None and prior.num_classes else None
        yield codes[start : start + batch_size].to(device), told


def _check_codes(prior: Prior, codes: Int[Tensor, "b h w"]) -> None:
    if len(codes) < 1 or codes.shape[1:] != (prior.height, prior.width):
        raise ValueError(
            f"expected codes of shape (b, {prior.height}, {prior.width}) with b >= 1, got {tuple(codes.shape)}; take "
            "those of the tokenizer that the prior was trained with"
        )


@contextmanager
def _evaluating(prior: Prior) -> Iterator[None]:
    training = prior.training
    prior.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        prior.train(training)
