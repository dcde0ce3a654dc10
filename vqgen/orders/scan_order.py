"""A scan order: which cell of the code grid is visited at which step."""

import contextlib
import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, Integer, Shaped
from torch import Tensor

from vqgen.orders.order_file import ORDER_SUFFIX, check_fingerprint, read_order_file, write_order_file
from vqgen.orders.permutation import check_grid, check_permutation
from vqgen.orders.registry import ORDERS, takes_seed


@dataclass(frozen=True, eq=False)
class ScanOrder:
    """An order in which the cells of a grid are visited: the bridge between codes (b, h, w) and sequence (b, n).

    ``sequence[:, t] = codes.flatten(1)[:, positions[t]]``, and ``steps[positions[t]] = t``. Usually made by
    :func:`scan_order`. Two orders are equal when name, grid and positions are.

    Args:
        name: what the order is called, usually a key of ORDERS.
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        positions: raster index (row * width + column) of the cell visited at each step, a permutation, shape (n,)
            with n = height * width. A copy is kept on the CPU.
        seed: what the order was drawn from, for those that are drawn.

    Raises:
        TypeError: if positions are not integers.
        ValueError: if the grid is empty or positions are not a permutation of its cells.

    Example:
        >>> order = ScanOrder("upwards", height=2, width=2, positions=torch.tensor([2, 3, 0, 1]))
        >>> order.scan(torch.tensor([[[10, 11], [12, 13]]])).tolist()
        [[12, 13, 10, 11]]
    """

    name: str
    height: int
    width: int
    positions: Integer[Tensor, "n"] = field(repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        check_grid(self.height, self.width)
        check_permutation(self.positions, name=self.name, height=self.height, width=self.width)
        # A copy of its own: an order is part of a model's identity and must not change under it.
        own = self.positions.detach().to("cpu", torch.int64, copy=True)
        object.__setattr__(self, "positions", own)

    @cached_property
    def steps(self) -> Int64[Tensor, "n"]:
        """The inverse of positions: the step at which each cell, by raster index, is visited; shape (n,)."""
        return torch.argsort(self.positions)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell grid and positions, whatever the name."""
        numbers = self.positions.numpy().astype("<i8").tobytes()
        return hashlib.sha256(f"{self.height}x{self.width}:".encode() + numbers).hexdigest()[:16]

    def scan(self, codes: Shaped[Tensor, "b h w"]) -> Shaped[Tensor, "b n"]:
        """Lay a grid out in visiting order.

        Args:
            codes: code grids, shape (b, h, w), any dtype and device.

        Returns:
            The sequence, shape (b, n), same dtype and device.

        Raises:
            ValueError: if the grid has another height or width.

        Example:
            >>> scan_order("snake", height=2, width=2).scan(torch.tensor([[[0, 1], [2, 3]]])).tolist()
            [[0, 1, 3, 2]]
        """
        if codes.shape[1:] != (self.height, self.width):
            raise ValueError(
                f"codes must have shape (b, {self.height}, {self.width}) for order {self.name!r}, "
                f"got {tuple(codes.shape)}; build the order for the tokenizer's grid"
            )
        return codes.flatten(1).index_select(1, self.positions.to(codes.device))  # b h w -> b n

    def unscan(self, sequence: Shaped[Tensor, "b n"]) -> Shaped[Tensor, "b h w"]:
        """Put a sequence back on the grid: the inverse of scan. It serves for anything per step, such as a loss.

        Args:
            sequence: values in visiting order, shape (b, n), any dtype and device.

        Returns:
            The grid, shape (b, h, w), same dtype and device.

        Raises:
            ValueError: if the sequence has another length than the grid has cells.

        Example:
            >>> scan_order("snake", height=2, width=2).unscan(torch.tensor([[0, 1, 3, 2]])).tolist()
            [[[0, 1], [2, 3]]]
        """
        if sequence.shape[1:] != (self.height * self.width,):
            raise ValueError(
                f"sequence must have shape (b, {self.height * self.width}) for order {self.name!r} on "
                f"{self.height} x {self.width}, got {tuple(sequence.shape)}; pass the whole sequence without prefix"
            )
        grid = sequence.index_select(1, self.steps.to(sequence.device))
        return grid.reshape(-1, self.height, self.width)  # b n -> b h w

    def describe(self) -> dict[str, Any]:
        """Say in JSON-able values which order this is, for a checkpoint to record.

        Returns:
            name, height, width, seed and fingerprint; and the positions, if the registry does not give this order by
            its name.

        Example:
            >>> scan_order("raster", height=2, width=2).describe()["name"]
            'raster'
            >>> ScanOrder("mine", height=1, width=2, positions=torch.tensor([1, 0])).describe()["positions"]
            [1, 0]
        """
        grid = {"height": self.height, "width": self.width}
        description = {"name": self.name, **grid, "seed": self.seed, "fingerprint": self.fingerprint}
        return description if self._is_registered() else {**description, "positions": self.positions.tolist()}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "ScanOrder":
        """Build the order a description names or holds, and make sure that it is still the same order.

        Args:
            description: what :meth:`describe` gave.

        Returns:
            The order.

        Raises:
            ValueError: if the name is not registered, an entry is missing, or the order has changed since.

        Example:
            >>> order = scan_order("hilbert", height=4, width=6)
            >>> ScanOrder.from_description(order.describe()) == order
            True
        """
        missing = {"name", "height", "width", "seed", "fingerprint"} - description.keys()
        if missing:
            raise ValueError(f"an order's description must have {sorted(missing)}, got {dict(description)}")
        name, height, width = description["name"], description["height"], description["width"]
        if "positions" in description:
            positions = torch.tensor(description["positions"], dtype=torch.int64)
            order = cls(name, height, width, positions, seed=description["seed"])
            check_fingerprint(order.fingerprint, description["fingerprint"], where=f"the description of order {name!r}")
            return order
        order = scan_order(name, height=height, width=width, seed=description["seed"])
        if order.fingerprint != description["fingerprint"]:
            raise ValueError(
                f"order {name!r} on {height} x {width} was recorded with fingerprint {description['fingerprint']}, but "
                f"the function now registered under that name gives {order.fingerprint}; register the original function"
            )
        return order

    def save(self, path: str | Path) -> Path:
        """Write an order file, which can be given wherever an order is named: name, grid and positions as JSON.

        Args:
            path: file to write, ending in .json; a missing folder is made, an older file is replaced once the new one
                is complete.

        Returns:
            The path.

        Raises:
            ValueError: if the path ends otherwise.

        Example:
            >>> import tempfile
            >>> path = scan_order("snake", height=2, width=2).save(Path(tempfile.mkdtemp()) / "mine.json")
            >>> scan_order(str(path), height=2, width=2).positions.tolist()
            [0, 1, 3, 2]
        """
        return write_order_file(path, {**self.describe(), "positions": self.positions.tolist()})

    @classmethod
    def load(cls, path: str | Path) -> "ScanOrder":
        """Read an order file.

        Args:
            path: what :meth:`save` wrote, or a JSON object by hand: height, width and positions (raster index visited
                at each step); name, which is the file's where it is left out; seed and fingerprint may be missing.

        Returns:
            The order.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no order file, does not visit every cell once, or was changed after it was saved.

        Example:
            >>> import tempfile
            >>> order = ScanOrder("mine", height=1, width=3, positions=torch.tensor([1, 2, 0]))
            >>> ScanOrder.load(order.save(Path(tempfile.mkdtemp()) / "mine.json")) == order
            True
        """
        entries = read_order_file(path)
        try:
            order = cls(
                entries["name"],
                entries["height"],
                entries["width"],
                torch.tensor(entries["positions"], dtype=torch.int64),
                seed=entries["seed"],
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if entries["fingerprint"] is not None:
            check_fingerprint(order.fingerprint, entries["fingerprint"], where=str(path))
        return order

    def _is_registered(self) -> bool:
        """Whether the registry gives this very order again."""
        if self.name not in ORDERS:
            return False
        with contextlib.suppress(ValueError):
            same = scan_order(self.name, height=self.height, width=self.width, seed=self.seed)
            return same.fingerprint == self.fingerprint
        return False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScanOrder):
            return NotImplemented
        return self.name == other.name and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash((self.name, self.fingerprint))


def scan_order(name: str, *, height: int, width: int, seed: int = 0) -> ScanOrder:
    """Build an order by name, or read it from a file.

    Args:
        name: a key of ORDERS, or the path of an order file, ending in .json.
        height: rows of the code grid, >= 1.
        width: columns of the code grid, >= 1.
        seed: for orders that are drawn; the others pass it over and record 0.

    Returns:
        The order.

    Raises:
        FileNotFoundError: if there is no such order file.
        TypeError: if a registered function does not return integers.
        ValueError: if the name is unknown, the grid is empty or refused by the order, a registered function does not
            return a permutation, or the order file is damaged.

    Example:
        >>> scan_order("snake", height=2, width=3).positions.tolist()
        [0, 1, 2, 5, 4, 3]
        >>> ORDERS["backwards"] = lambda height, width: torch.arange(height * width).flip(0)
        >>> scan_order("backwards", height=2, width=3).positions.tolist()
        [5, 4, 3, 2, 1, 0]
        >>> del ORDERS["backwards"]
    """
    check_grid(height, width)
    if name.endswith(ORDER_SUFFIX) and name not in ORDERS:
        order = ScanOrder.load(name)
        if (order.height, order.width) != (height, width):
            raise ValueError(
                f"the order in {name} visits {order.height} x {order.width}, but the grid is {height} x {width}; "
                "an order file serves its own grid only"
            )
        return order
    if name not in ORDERS:
        close = difflib.get_close_matches(name, ORDERS, n=3, cutoff=0.5)
        advice = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "register your own: ORDERS[name] = function."
        )
        raise ValueError(f"unknown order {name!r}: {advice} Known orders: {', '.join(ORDERS)}")
    function = ORDERS[name]
    if takes_seed(function):
        return ScanOrder(name, height, width, torch.as_tensor(function(height, width, seed=seed)), seed=seed)
    return ScanOrder(name, height, width, torch.as_tensor(function(height, width)))


def available_orders(*, height: int, width: int) -> dict[str, ScanOrder]:
    """Build every registered order that takes this grid, with seed 0.

    Args:
        height: rows of the code grid, >= 1.
        width: columns of the code grid, >= 1.

    Returns:
        The orders by name, in the registry's sequence; those that refuse the grid are left out.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> "taming:subsample" in available_orders(height=4, width=4)
        True
        >>> "taming:subsample" in available_orders(height=4, width=6)
        False
    """
    check_grid(height, width)
    orders = {}
    for name in ORDERS:
        # An order that is not defined on this grid says so by a ValueError.
        with contextlib.suppress(ValueError):
            orders[name] = scan_order(name, height=height, width=width)
    return orders
