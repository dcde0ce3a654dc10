"""What the programs with peers wrote to results/, as readings of one kind: for plot.py and regression.py."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Reading:
    """One contestant in one comparison.

    Attributes:
        what: the comparison; readings of one `what` were taken in turns and may be compared.
        unit: of the rates.
        contestant: its name; vqgen's begin with its name.
        rates: one of each repeat; larger is better.
        limit: what the machine would allow, where that is known.
    """

    what: str
    unit: str
    contestant: str
    rates: tuple[float, ...]
    limit: float | None = None

    @property
    def ours(self) -> bool:
        """Whether it is vqgen's."""
        return self.contestant.startswith("vqgen")

    @property
    def rate(self) -> float:
        """Median of the rates."""
        return median(self.rates)


def of_sampling(found: Any) -> Iterator[Reading]:
    for row in found["results"]:
        rates, limit = tuple(row["tokens_per_second"]), row["bound_tokens_per_second"]
        yield Reading(f"drawing, batch {row['batch_size']}", "tokens/s", row["contestant"], rates, limit)


def of_order(found: Any) -> Iterator[Reading]:
    for row in found["results"]:
        what = f"drawing in orders, batch {row['batch_size']}"
        yield Reading(what, "images/s", row["contestant"], tuple(row["images_per_second"]))


def precision_of(contestant: str) -> str:
    """The key of its limit."""
    return "bf16" if "bf16" in contestant else "fp32"


def of_tokenizer(found: Any) -> Iterator[Reading]:
    limits = found.get("limit", {})
    for row in found["speed"]:
        what = f"{row['direction']}, batch {row['batch_size']}, {row['allocator']}"
        limit = limits.get(precision_of(row["contestant"]), {}).get(row["direction"])
        yield Reading(what, "images/s", row["contestant"], tuple(row["images_per_second"]), limit)


def of_training(found: Any) -> Iterator[Reading]:
    for row in found["results"]:
        limit = found.get("limit", {}).get(row["precision"], {}).get("tokens_per_second")
        what, rates = f"training, {row['precision']}", tuple(row["tokens_per_second"])
        yield Reading(what, "tokens/s", row["contestant"], rates, limit)


def of_nearest(found: Any) -> Iterator[Reading]:
    for row in found["results"]:
        n, k, d = row["size"]
        for allocator, milliseconds in row["milliseconds"].items():
            what = f"search, {n} latents, {k} codes of width {d}, {allocator}"
            yield Reading(what, "searches/s", row["search"], tuple(1e3 / each for each in milliseconds))


READERS: dict[str, Callable[[Any], Iterator[Reading]]] = {
    "sampling": of_sampling,
    "order": of_order,
    "tokenizer": of_tokenizer,
    "training": of_training,
    "nearest": of_nearest,
}


def read(name: str, found: Any) -> list[Reading]:
    """Readings of a file of results.

    Args:
        name: of the file without its ending, such as `order` or, of a GPU, `order-cuda`.
        found: its content.

    Returns:
        Its readings; none of a program that compares with nobody.

    Raises:
        ValueError: when the file has another form than the program writes today.
    """
    kind = name.partition("-")[0]
    if kind not in READERS:
        return []
    try:
        return list(READERS[kind](found))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}.json has another form than benchmarks/{kind}.py writes: {error!r}; run it") from error


def against_peers(readings: Sequence[Reading]) -> dict[tuple[str, str], float]:
    """How many times as fast as the fastest peer each of ours is, by comparison and contestant."""
    peers: dict[str, float] = {}
    for each in readings:
        if not each.ours:
            peers[each.what] = max(each.rate, peers.get(each.what, 0.0))
    return {
        (each.what, each.contestant): each.rate / peers[each.what]
        for each in readings
        if each.ours and each.what in peers
    }
