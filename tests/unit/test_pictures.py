"""Pictures: layout, ranges, and files that are whole or absent."""

import pytest
import torch
from PIL import Image

from vqgen.orders import scan_order
from vqgen.pictures import GAP, contact_sheet, labelled_rows, picture_grid, save_filling_gif, save_picture, to_pixels


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
    long = labelled_rows(rows, caption="credit " * 20)
    assert long.width == picture.width
    assert long.height > picture.height + 5 * 10  # wrapped, not cut off


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


def test_gif_shows_the_cells_of_a_group_at_once(tmp_path):
    order, black = scan_order("raster", height=2, width=3), torch.full((1, 3, 8, 12), -1.0)
    path = save_filling_gif(black, order, tmp_path / "x.gif", columns=1, zoom=1, groups=(1, 2, 3))
    with Image.open(path) as gif:
        assert gif.n_frames == 4
        gif.seek(1)
        frame = gif.convert("RGB")
    inside = [(GAP + column * 4 + 2, GAP + row * 4 + 2) for row in range(2) for column in range(3)]
    assert [sum(frame.getpixel(place)) < 60 for place in inside] == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match="groups that sum to the 6 cells, got 5"):
        save_filling_gif(black, order, tmp_path / "y.gif", columns=1, groups=(2, 3))


def test_contact_sheet_has_every_panel_under_its_label():
    panels = [(name, torch.full((4, 3, 40, 40), value)) for name, value in (("raster", -1.0), ("a b", 0.0), ("c", 1.0))]
    sheet = contact_sheet(panels, columns=2)
    panel = 2 * 40 + 3 * GAP
    assert sheet.size == (2 * (panel + 12) + 12, 2 * (panel + 20 + 12) + 6)
    for index, grey in enumerate((0, 128, 255)):
        left, top = 12 + index % 2 * (panel + 12), 6 + index // 2 * (panel + 32)
        assert sheet.getpixel((left + GAP + 5, top + 20 + GAP + 5)) == (grey,) * 3
        label = sheet.crop((left, top, left + panel, top + 20)).convert("L")
        assert min(label.tobytes()) < 60 < 250 < max(label.tobytes())
    with pytest.raises(ValueError, match="at least one panel and columns >= 1, got 0 and columns=4"):
        contact_sheet([])


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="ending of a picture format"):
        save_picture(Image.new("RGB", (2, 2)), tmp_path / "picture.docs")
    assert list(tmp_path.iterdir()) == []


def test_zoom_below_one_is_refused():
    with pytest.raises(ValueError, match="columns and zoom must be >= 1"):
        picture_grid(torch.zeros(1, 3, 2, 2), columns=0)
