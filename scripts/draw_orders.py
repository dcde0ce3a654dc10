"""Draw all scan orders again: the sheet, and the small pictures of the README's table.

    python scripts/draw_orders.py --out docs/images

writes `orders.png` and `orders/NAME.png`. Run it after adding an order; the table itself is
`vqgen.orders.definition_table`.
"""

import argparse
from pathlib import Path

from vqgen.orders import draw_orders, draw_thumbnails


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    print(f"wrote {draw_orders(options.out / 'orders.png')}")
    print(f"wrote {len(draw_thumbnails(options.out / 'orders'))} pictures in {options.out / 'orders'}")


if __name__ == "__main__":
    main()
