import subprocess
import sys
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from vqgen.orders import ORDERS, draw_order, draw_orders, draw_thumbnails, scan_order

IMAGES = Path(__file__).parents[3] / "docs" / "images"


def test_draw_order_writes_a_picture_that_shows_the_order(tmp_path):
    path = draw_order(scan_order("raster", height=3, width=3), tmp_path / "new" / "raster.png", inches=2.0)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert 200 < pixels.shape[1] < 400
    # First cells are orange (more red than blue), last cells are violet (more blue than green).
    top, bottom = pixels[len(pixels) // 4, 130], pixels[-20, 130]
    assert top[0] > top[2] + 20
    assert bottom[2] > bottom[1] + 10


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (11, 11)])
@pytest.mark.parametrize("name", ["hilbert", "halton"])
def test_draw_order_takes_every_grid(tmp_path, name, height, width):
    path = draw_order(scan_order(name, height=height, width=width), tmp_path / "order.png", inches=1.0)
    assert path.stat().st_size > 500


def test_draw_order_numbers_small_grids_only(tmp_path):
    small = draw_order(scan_order("raster", height=3, width=4), tmp_path / "small.svg").read_text()
    large = draw_order(scan_order("raster", height=11, width=11), tmp_path / "large.svg").read_text()
    assert "<!-- 11 -->" in small
    assert "<!-- 7 -->" not in large


def test_draw_order_writes_the_same_file_again(tmp_path):
    order = scan_order("morton", height=4, width=4)
    for ending in ("svg", "png"):
        first, second = (draw_order(order, tmp_path / f"{copy}.{ending}", inches=1.0) for copy in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_draw_order_refuses_other_formats(tmp_path):
    with pytest.raises(
        ValueError, match=r"must end in \.png, \.svg, \.pdf, got .*order\.txt; name one of these formats"
    ):
        draw_order(scan_order("raster", height=2, width=2), tmp_path / "order.txt")


def test_a_failure_leaves_the_old_picture_and_no_remains(tmp_path, monkeypatch):
    path = tmp_path / "order.png"
    path.write_bytes(b"old")

    def fill_the_disk(self, name, **options):
        Path(name).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        draw_order(scan_order("raster", height=2, width=2), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_is_replaced_by_renaming(tmp_path):
    # Then a reader sees the whole old picture or the whole new one.
    first = draw_order(scan_order("raster", height=2, width=2), tmp_path / "order.png", inches=1.0).stat().st_ino
    second = draw_order(scan_order("raster", height=2, width=2), tmp_path / "order.png", inches=1.0).stat().st_ino
    assert first != second


def test_draw_orders_names_every_order_and_those_that_refuse(tmp_path):
    sheet = draw_orders(tmp_path / "orders.svg", height=2, width=3, columns=8).read_text()
    for name in ORDERS:
        assert name in sheet
    assert "not defined on this grid: taming:subsample, taming:zcurve, taming:spiral-out, taming:spiral-in" in sheet


def test_draw_orders_refuses_to_draw_no_columns(tmp_path):
    with pytest.raises(ValueError, match="columns must be >= 1, got columns=0; pass the number of panels"):
        draw_orders(tmp_path / "orders.png", columns=0)


def test_draw_thumbnails_writes_one_small_file_per_order(tmp_path):
    paths = draw_thumbnails(tmp_path)
    assert [path.name for path in paths] == [f"{name.replace(':', '-')}.png" for name in ORDERS]
    assert max(path.stat().st_size for path in paths) < 8_000


def test_documentation_has_a_picture_of_every_order():
    expected = {f"{name.replace(':', '-')}.png" for name in ORDERS}
    assert {path.name for path in (IMAGES / "orders").iterdir()} == expected
    assert (IMAGES / "orders.png").stat().st_size < 400_000


def test_orders_do_not_wait_for_matplotlib():
    program = "import sys, vqgen.orders; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
