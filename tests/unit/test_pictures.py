"""Pictures: layout, ranges, and files that are whole or absent."""

import pytest
import torch
from PIL import Image

from vqgen.orders import scan_order
from vqgen.pictures import GAP, labelled_rows, picture_grid, save_filling_gif, save_picture, to_pixels


def test_pixels_round_and_clamp():
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert to_pixels(images)[0, :, :, 0].tolist() == [[0, 0], [128, 255]]


def test_grid_places_images_row_by_row():
    images = torch.stack([torch.full((3, 4, 4), value) for value in (-1.0, 0.0, 1.0)])
    picture = picture_grid(images, columns=2)
    assert picture.size == (2 * 4 + 3 * GAP, 2 * 4 + 3 * GAP)
    assert picture.getpixel((GAP, GAP)) == (0, 0, 0)
    assert picture.getpixel((GAP, 2 * GAP + 4)) == (255, 255, 255)


def test_labelled_rows_hold_every_row():
    rows = [("one", torch.zeros(2, 3, 8, 8)), ("two", torch.zeros(2, 3, 8, 8))]
    picture = labelled_rows(rows, caption="credit")
    assert picture.height > labelled_rows(rows).height > 2 * 8


def test_gif_has_a_frame_per_cell_and_fills_in_order(tmp_path):
    order = scan_order("spiral-in", height=2, width=3)
    path = save_filling_gif(torch.full((1, 3, 8, 12), -1.0), order, tmp_path / "x.gif", columns=1, zoom=1)
    with Image.open(path) as gif:
        assert gif.n_frames == 7
        gif.seek(0)
        first = gif.convert("RGB")
        gif.seek(6)
        assert gif.info["duration"] > 2000
        last = gif.convert("RGB")
    row, column = divmod(int(order.positions[0]), 3)
    inside = (GAP + column * 4 + 2, GAP + row * 4 + 2)
    row, column = divmod(int(order.positions[-1]), 3)
    later = (GAP + column * 4 + 2, GAP + row * 4 + 2)
    assert sum(first.getpixel(inside)) < 60
    assert sum(first.getpixel(later)) > 500
    assert sum(last.getpixel(later)) < 60


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="ending of a picture format"):
        save_picture(Image.new("RGB", (2, 2)), tmp_path / "picture.docs")
    assert list(tmp_path.iterdir()) == []


def test_zoom_below_one_is_refused():
    with pytest.raises(ValueError, match="columns and zoom must be >= 1"):
        picture_grid(torch.zeros(1, 3, 2, 2), columns=0)
