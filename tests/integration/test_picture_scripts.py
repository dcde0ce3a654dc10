"""The scripts that draw the pictures of the documentation."""

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_pipeline import make_tiny_pipeline

from vqgen.orders import ORDERS

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")


def test_any_order_pictures_writes_them_all(tmp_path, capsys):
    folder = make_tiny_pipeline("random-per-sample").save_pretrained(tmp_path / "model")
    orders = ["hilbert", "halton"]
    run("any_order_pictures.py", folder, "--data", "none", "--orders", *orders, "--zoom", 1, "--out", tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    animations = {"filling/hilbert.gif", "filling/halton.gif", "filling/groups.gif"}
    assert written == {"inpainting.png", "outpainting.png", "larger.png", "orders-sheet.png", *animations}
    assert capsys.readouterr().out.count("wrote") == len(written)
    for name in animations:
        assert (tmp_path / "out" / name).stat().st_size <= 300_000
    with (
        Image.open(tmp_path / "out/filling/halton.gif") as each,
        Image.open(tmp_path / "out/filling/groups.gif") as few,
    ):
        assert (each.n_frames, few.n_frames) == (65, 9)
    with Image.open(tmp_path / "out" / "larger.png") as picture:
        assert picture.height > 3 * 128


def test_draw_orders_writes_the_sheet_and_a_picture_an_order(tmp_path):
    run("draw_orders.py", "--out", tmp_path)
    assert (tmp_path / "orders.png").stat().st_size > 10_000
    assert len(list((tmp_path / "orders").glob("*.png"))) == len(ORDERS)


def test_draw_patterns_shows_what_each_lets_a_cell_see(tmp_path):
    run("draw_patterns.py", "--out", tmp_path / "attention.png")
    with Image.open(tmp_path / "attention.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 16)}
    assert {(59, 28, 113), (228, 87, 46), (222, 226, 236)} <= colours  # seen, asked, hidden
