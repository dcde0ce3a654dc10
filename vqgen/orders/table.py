"""Tables of all orders, in Markdown."""

from vqgen.orders.locality import measure_locality
from vqgen.orders.registry import ORDERS, definition
from vqgen.orders.scan_order import ScanOrder, available_orders


def definition_table(*, pictures: str) -> str:
    """Write picture, name and definition of every order as a Markdown table.

    Args:
        pictures: the folder of the thumbnails, relative to the page that shows the table.

    Returns:
        The table, one line per order.

    Example:
        >>> print(definition_table(pictures="images").splitlines()[4])
        | ![](images/column.png) | `column` | Columns from left to right, each from top to bottom. |
    """
    lines = ["| | order | |", "|---|---|---|"]
    lines += [f"| ![]({pictures}/{name.replace(':', '-')}.png) | `{name}` | {definition(name)} |" for name in ORDERS]
    return "\n".join(lines)


def locality_table(*, height: int, width: int) -> str:
    """Write the locality statistics of all orders that this grid allows as a Markdown table.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.

    Returns:
        The table, one line per order; orders that are the same on this grid share a line.

    Raises:
        ValueError: if the grid is empty.

    Example:
        >>> print(locality_table(height=4, width=4).splitlines()[2])
        | `raster`, `taming:identity` | 1.43 | 3.2 | 80% | 1.00 | 0% | 100% 1.0 | 100% 4.0 |
    """
    lines = [
        "| order | mean step | longest | unit steps | nearest known | isolated | left known, age | above known, age |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sharing: dict[str, list[ScanOrder]] = {}
    for order in available_orders(height=height, width=width).values():
        sharing.setdefault(order.fingerprint, []).append(order)
    for orders in sharing.values():
        found = measure_locality(orders[0])
        lines.append(
            f"| {', '.join(f'`{order.name}`' for order in orders)} | {found.mean_step:.2f} | {found.max_step:.1f} "
            f"| {found.unit_step_fraction:.0%} | {found.mean_nearest_known:.2f} | {found.isolated_fraction:.0%} "
            f"| {found.left_known_fraction:.0%} {found.mean_left_age:.1f} "
            f"| {found.up_known_fraction:.0%} {found.mean_up_age:.1f} |"
        )
    return "\n".join(lines)
