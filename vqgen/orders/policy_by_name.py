"""Order policies by name, as a flag or a config gives them, and from what a checkpoint recorded."""

import contextlib
from collections.abc import Mapping
from typing import Any

from vqgen.orders.annealed import ANNEALED, AnnealedOrder
from vqgen.orders.fixed_order import FixedOrder
from vqgen.orders.mixture import MIXTURE, MixtureOrder
from vqgen.orders.policy import OrderPolicy
from vqgen.orders.random_per_sample import RANDOM_PER_SAMPLE, RandomPerSample
from vqgen.orders.scan_order import ScanOrder, scan_order


def order_policy(name: str, *, height: int, width: int, seed: int = 0) -> OrderPolicy:
    """Build a policy by name.

    - ``hilbert``, ``folder/mine.json``: that order for all, a key of ORDERS or an order file;
    - ``random-per-sample``: every sample in a random order of its own;
    - ``mixture:A=2,B=1``: every sample under A or B, drawn by these weights; two or more;
    - ``annealed:A->B@1000-4000``: under A up to step 1000, under B from step 4000 on, linearly from one to the other
      in between.

    A and B are any of these, mixtures and annealed ones in brackets:
    ``annealed:(mixture:raster=1,snake=1)->hilbert@0-9``. In a shell, put a name with an arrow or brackets in quotes.

    Args:
        name: as above.
        height: rows of the code grid, >= 1.
        width: columns of the code grid, >= 1.
        seed: for fixed orders that are drawn; "random-per-sample" draws from the generator of each call instead.

    Returns:
        The policy.

    Raises:
        FileNotFoundError: if there is no such order file.
        ValueError: if the name is unknown or not of one of these forms, or the grid is refused.

    Example:
        >>> order_policy("hilbert", height=4, width=4).fixed.name
        'hilbert'
        >>> order_policy("random-per-sample", height=4, width=4).fixed is None
        True
        >>> order_policy("mixture:raster=3,random-per-sample=1", height=4, width=4).weights
        (0.75, 0.25)
        >>> order_policy("annealed:random-per-sample->hilbert@10-40", height=4, width=4).share(25)
        0.5
    """
    name = _without_brackets(name)
    if name == RANDOM_PER_SAMPLE:
        return RandomPerSample(height, width)
    kind, colon, rest = name.partition(":")
    if colon and kind == MIXTURE:
        pairs = [_weighted(part, name) for part in _split(rest, ",")]
        policies = [order_policy(part, height=height, width=width, seed=seed) for part, _ in pairs]
        return MixtureOrder(policies, [weight for _, weight in pairs])
    if colon and kind == ANNEALED:
        start, target, begin, end = _annealed(rest, name)
        return AnnealedOrder(
            order_policy(start, height=height, width=width, seed=seed),
            order_policy(target, height=height, width=width, seed=seed),
            begin,
            end,
        )
    return FixedOrder(scan_order(name, height=height, width=width, seed=seed))


def order_policy_from_description(description: Mapping[str, Any]) -> OrderPolicy:
    """Build the policy that a description names.

    Args:
        description: what a policy's ``describe`` gave.

    Returns:
        The policy.

    Raises:
        ValueError: if the description is not complete, or an order is unknown or has changed since.

    Example:
        >>> policy = order_policy("random-per-sample", height=2, width=3)
        >>> order_policy_from_description(policy.describe())
        RandomPerSample('random-per-sample', height=2, width=3)
    """
    kind = description.get("policy")
    try:
        if kind == MIXTURE:
            parts = description["parts"]
            policies = [order_policy_from_description(part["order"]) for part in parts]
            return MixtureOrder(policies, [part["weight"] for part in parts])
        if kind == ANNEALED:
            start, target = (order_policy_from_description(description[each]) for each in ("start", "target"))
            return AnnealedOrder(start, target, description["begin"], description["end"])
        if description.get("name") == RANDOM_PER_SAMPLE:
            return RandomPerSample(description["height"], description["width"])
    except KeyError as error:
        raise ValueError(f"the description of an order policy lacks {error}, got {dict(description)}") from None
    if kind is not None:
        raise ValueError(
            f"expected the policy {MIXTURE!r} or {ANNEALED!r}, got {kind!r}; a newer version of vqgen may know it"
        )
    return FixedOrder(ScanOrder.from_description(description))


def _weighted(part: str, name: str) -> tuple[str, float]:
    """Name and weight of a part of a mixture."""
    policy, _, weight = part.rpartition("=")
    with contextlib.suppress(ValueError):
        if policy.strip():
            return policy, float(weight)
    raise ValueError(
        f"expected mixture:NAME=WEIGHT,NAME=WEIGHT, got {part!r} in {name!r}; give every order a weight, as in "
        "'mixture:raster=0.5,hilbert=0.5'"
    )


def _annealed(rest: str, name: str) -> tuple[str, str, int, int]:
    """Start, target and the two steps of an annealed policy."""
    policies, _, steps = rest.rpartition("@")
    ends, (begin, _, end) = _split(policies, "->"), steps.partition("-")
    with contextlib.suppress(ValueError):
        if len(ends) == 2 and all(map(str.strip, ends)):
            return ends[0], ends[1], int(begin), int(end)
    raise ValueError(
        "expected annealed:START->TARGET@BEGIN-END, as in 'annealed:random-per-sample->hilbert@1000-4000', got "
        f"{name!r}; in a shell put it in quotes, or > sends the output to a file"
    )


def _split(text: str, separator: str) -> list[str]:
    """Split where no bracket is open."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]


def _without_brackets(name: str) -> str:
    name = name.strip()
    return name[1:-1] if name.startswith("(") and name.endswith(")") else name
