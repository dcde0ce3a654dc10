"""What orders and contenders are called in reports and folders."""

import re
from collections.abc import Sequence
from pathlib import Path


def order_label(order: str) -> str:
    """What an order is called in a report: its name, or its file's name without the ending.

    Example:
        >>> order_label("hilbert"), order_label("runs/found/greedy.json")
        ('hilbert', 'greedy')
    """
    return Path(order).stem if order.endswith(".json") else order


def folder_name(label: str) -> str:
    """A label as part of a file's name on any system.

    Example:
        >>> folder_name("taming:random (target + rotary)")
        'taming-random-target+rotary'
    """
    return re.sub(r"[^\w.+-]+", "-", label.replace(" + ", "+")).strip("-")


def contender_label(order: str, signals: Sequence[str]) -> str:
    """The order, and the signals if they are given.

    Example:
        >>> contender_label("raster", ("target", "rotary"))
        'raster (target + rotary)'
    """
    return order_label(order) + (f" ({' + '.join(signals)})" if signals else "")
