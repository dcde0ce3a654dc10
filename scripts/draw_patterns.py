"""Draw what each attention pattern lets one cell see, under three orders: the picture of vqgen/attention/README.md.

    python scripts/draw_patterns.py --out docs/images/attention.png

Add a pattern of your own to PATTERNS to look at it.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vqgen.attention import (
    BigBird,
    BigBird1D,
    ColumnAttention,
    Convolution,
    Fixed,
    Fixed1D,
    Local1D,
    Local2D,
    Pattern,
    RowAttention,
    Strided,
    Strided1D,
)
from vqgen.orders import ScanOrder, scan_order
from vqgen.pictures import labelled_rows

SIDE, CELL = 16, 7 * 16 + 9
PATTERNS = [
    Local1D(block=32, memory=32),
    Local2D(block=4, margin=4),
    Convolution(kernel_size=7),
    RowAttention(),
    ColumnAttention(),
    Strided(),
    Strided1D(),
    Fixed(summary=2),
    Fixed1D(summary=2),
    BigBird(block=2, random=4, global_tiles=2),
    BigBird1D(block=8),
]
COLOURS = {"unvisited": (255, 255, 255), "hidden": (222, 226, 236), "seen": (59, 28, 113), "asked": (228, 87, 46)}
CAPTION = (
    "What the orange cell sees when its turn comes: dark cells are seen, pale ones were visited and are not, white "
    "ones come later. Orders from left to right: raster, hilbert, random. Patterns named 1D go by steps, all others "
    "by cells."
)


def seen_from(pattern: Pattern, order: ScanOrder, cell: int) -> Tensor:
    """(3, h, w) picture in [-1, 1] of what is seen when a cell is about to be filled."""
    table, step = pattern.table(height=order.height, width=order.width), int(order.steps[cell])
    allowed = table[cell] if pattern.space == "cells" else table[step][order.steps]
    visited = order.steps < step
    picture = torch.tensor(COLOURS["unvisited"]).repeat(len(visited), 1)
    picture[visited] = torch.tensor(COLOURS["hidden"])
    picture[visited & allowed] = torch.tensor(COLOURS["seen"])
    picture[cell] = torch.tensor(COLOURS["asked"])
    return picture.float().div(127.5).sub(1).T.reshape(3, order.height, order.width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/attention.png"), help="(default: %(default)s)")
    options = parser.parse_args()
    orders = [scan_order(name, height=SIDE, width=SIDE) for name in ("raster", "hilbert", "random")]
    rows = [
        (type(pattern).__name__, torch.stack([seen_from(pattern, order, CELL) for order in orders]))
        for pattern in PATTERNS
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    labelled_rows(rows, zoom=6, caption=CAPTION).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
