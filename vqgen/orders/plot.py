"""Pictures of orders, as files."""

import uuid
from pathlib import Path
from typing import Any

from vqgen.orders.registry import ORDERS
from vqgen.orders.scan_order import ScanOrder, available_orders


def draw_order(order: ScanOrder, path: str | Path, *, inches: float = 5.0, dots_per_inch: int = 150) -> Path:
    """Draw one order: cells and path coloured from first to last, a ring at the start, a square at the end.

    Steps to a neighbour are drawn bold with arrow heads, jumps as thin lines. Up to 100 cells carry their step number.

    Args:
        order: the order.
        path: file to write, ending in .png, .svg or .pdf; a missing folder is made.
        inches: longer side of the picture.
        dots_per_inch: resolution, for .png.

    Returns:
        The path.

    Raises:
        ValueError: if the path ends otherwise.

    Example:
        >>> import tempfile
        >>> from vqgen.orders import scan_order
        >>> draw_order(scan_order("hilbert", height=4, width=4), Path(tempfile.mkdtemp()) / "hilbert.png").name
        'hilbert.png'
    """
    # Imported here, so that the orders themselves do not wait for matplotlib.
    from vqgen.orders.panel import single_figure

    return _write_figure(single_figure(order, inches=inches), path, dots_per_inch)


def draw_orders(
    path: str | Path, *, height: int = 8, width: int = 8, columns: int = 6, dots_per_inch: int = 110
) -> Path:
    """Draw every registered order that takes this grid on one sheet.

    Args:
        path: file to write, ending in .png, .svg or .pdf; a missing folder is made.
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        columns: panels side by side, >= 1.
        dots_per_inch: resolution, for .png.

    Returns:
        The path.

    Raises:
        ValueError: if the path ends otherwise, the grid is empty or there are no columns.

    Example:
        >>> import tempfile
        >>> draw_orders(Path(tempfile.mkdtemp()) / "orders.png", height=2, width=2, dots_per_inch=20).name
        'orders.png'
    """
    from vqgen.orders.panel import sheet_figure

    if columns < 1:
        raise ValueError(f"columns must be >= 1, got columns={columns}; pass the number of panels side by side")
    orders = available_orders(height=height, width=width)
    refusing = [name for name in ORDERS if name not in orders]
    return _write_figure(sheet_figure(list(orders.values()), refusing, columns=columns), path, dots_per_inch)


def draw_thumbnails(folder: str | Path, *, height: int = 8, width: int = 8, pixels: int = 96) -> list[Path]:
    """Draw a small picture of every registered order that takes this grid, for a table: ``folder/NAME.png``.

    Args:
        folder: where to write; ":" in a name becomes "-". It is made if missing.
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        pixels: longer side of a picture.

    Returns:
        The paths, in the registry's sequence.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> import tempfile
        >>> draw_thumbnails(tempfile.mkdtemp(), height=2, width=2, pixels=32)[0].name
        'raster.png'
    """
    from vqgen.orders.panel import thumbnail_figure

    paths = []
    for name, order in available_orders(height=height, width=width).items():
        path = Path(folder) / f"{name.replace(':', '-')}.png"
        paths.append(_write_figure(thumbnail_figure(order, inches=pixels / 96), path, 96, palette=48))
    return paths


def _write_figure(figure: Any, path: str | Path, dots_per_inch: int, palette: int | None = None) -> Path:
    """Write under a temporary name first, so that no half-written picture is ever left under the real one."""
    from matplotlib import rc_context
    from PIL import Image

    path = Path(path)
    # No dates and versions inside: the same order gives the same file.
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    if path.suffix.lower() not in metadata:
        raise ValueError(f"a picture's path must end in {', '.join(metadata)}, got {path}; name one of these formats")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        with rc_context({"svg.hashsalt": "vqgen"}):  # otherwise an .svg draws its identifiers at random
            figure.savefig(temporary, dpi=dots_per_inch, metadata=metadata[path.suffix.lower()])
        if palette is not None:
            with Image.open(temporary) as picture:
                small = picture.convert("RGB").quantize(palette, dither=Image.Dither.NONE)
            small.save(temporary, optimize=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
