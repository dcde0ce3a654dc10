"""The orders that can be asked for by name."""

import inspect
from collections.abc import Callable

from torch import Tensor

from vqgen.orders.bit_reversal import bit_reversal
from vqgen.orders.checkerboard import checkerboard
from vqgen.orders.diagonal import diagonal, diagonal_snake
from vqgen.orders.halton import halton
from vqgen.orders.hilbert import hilbert
from vqgen.orders.morton import morton
from vqgen.orders.random_permutation import random_permutation
from vqgen.orders.raster import column, raster, raster_reverse
from vqgen.orders.rings import rings
from vqgen.orders.snake import snake, snake_column
from vqgen.orders.spiral import spiral_in, spiral_out
from vqgen.orders.taming import (
    taming_random,
    taming_spiral_in,
    taming_spiral_out,
    taming_subsample,
    taming_zcurve,
)

OrderFunction = Callable[..., Tensor]
"""``function(height, width)`` gives the raster index of the cell visited at each step, an integer tensor of shape (n,).

A function with a parameter named ``seed`` is given the seed too, by name.
"""

ORDERS: dict[str, OrderFunction] = {
    "raster": raster,
    "raster-reverse": raster_reverse,
    "column": column,
    "snake": snake,
    "snake-column": snake_column,
    "diagonal": diagonal,
    "diagonal-snake": diagonal_snake,
    "spiral-in": spiral_in,
    "spiral-out": spiral_out,
    "rings": rings,
    "hilbert": hilbert,
    "morton": morton,
    "bit-reversal": bit_reversal,
    "checkerboard": checkerboard,
    "halton": halton,
    "random": random_permutation,
    "taming:identity": raster,
    "taming:subsample": taming_subsample,
    "taming:zcurve": taming_zcurve,
    "taming:spiral-out": taming_spiral_out,
    "taming:spiral-in": taming_spiral_in,
    "taming:random": taming_random,
    "taming:alternate": snake,
}
"""Every order by name. Your own joins in one line: ``ORDERS["mine"] = function``."""


def takes_seed(function: OrderFunction) -> bool:
    """Say whether an order function draws from a seed, which it shows by a parameter of that name.

    Args:
        function: an order function.

    Returns:
        True if it has a parameter named ``seed``.

    Example:
        >>> takes_seed(ORDERS["random"]), takes_seed(ORDERS["raster"])
        (True, False)
    """
    return "seed" in inspect.signature(function).parameters


def definition(name: str) -> str:
    """Give the one-line definition of an order: start, direction, recursion.

    Args:
        name: a key of ORDERS.

    Returns:
        The first line of the function's docstring; an empty string where it has none.

    Raises:
        KeyError: if no order has this name.

    Example:
        >>> definition("column")
        'Columns from left to right, each from top to bottom.'
    """
    return (inspect.getdoc(ORDERS[name]) or "").partition("\n")[0]
