"""`vqgen inpaint` and scripts/inpaint.py: from files to a picture."""

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from tiny_pipeline import make_tiny_pipeline

from vqgen.cli import main
from vqgen.pictures import GAP

SCRIPT = Path(__file__).parents[3] / "scripts" / "inpaint.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An any-order pipeline, one tied to raster, an image and a mask of its lower right part."""
    folder = tmp_path_factory.mktemp("files")
    for order in ("random-per-sample", "raster"):
        make_tiny_pipeline(order).save_pretrained(folder / order)
    image = Image.new("RGB", (64, 64), (200, 40, 90))
    ImageDraw.Draw(image).ellipse((5, 5, 40, 40), fill=(10, 250, 30))
    image.save(folder / "image.png")
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).rectangle((32, 16, 63, 47), fill=255)
    mask.save(folder / "mask.png")
    return folder


def arguments(files, *more):
    return [str(files / "random-per-sample"), str(files / "image.png"), "--mask", str(files / "mask.png"), *more]


def test_known_pixels_are_those_of_the_file_in_every_result(files, tmp_path, capsys):
    main(["inpaint", *arguments(files, "--n", "3", "--seed", "4", "--out", str(tmp_path / "out.png"))])
    assert capsys.readouterr().out == f"wrote {tmp_path / 'out.png'}\n"
    original = Image.open(files / "image.png")
    with Image.open(tmp_path / "out.png") as picture:
        tiles = [picture.crop((left, GAP, left + 64, GAP + 64)) for left in (GAP, 2 * GAP + 64, 3 * GAP + 128)]
    for tile in tiles:
        assert tile.crop((0, 0, 32, 64)).tobytes() == original.crop((0, 0, 32, 64)).tobytes()
        assert tile.crop((32, 16, 64, 48)).tobytes() != original.crop((32, 16, 64, 48)).tobytes()
    assert tiles[0].tobytes() != tiles[1].tobytes()


def test_the_script_shows_image_hole_and_results(files, tmp_path, monkeypatch):
    options = ["--rows", "--steps", "4", "--condition", "flags", "--guidance", "2", "--out", str(tmp_path / "out.png")]
    monkeypatch.setattr(sys, "argv", ["inpaint.py", *arguments(files, *options)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (3 * (64 + GAP) + GAP, 64 + 2 * GAP)
        assert picture.getpixel((2 * GAP + 64 + 40, GAP + 30)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--mask": "small.png"}, "mask of the image's size, 64 x 64 pixels, got 32 x 64"),
        ({"--n": "0"}, "--n must be >= 1, got 0"),
        ({"--blend": "poisson"}, "blend must be one of feather, paste, none, got 'poisson'"),
        ({"folder": "raster"}, "trained in the order 'raster' and can only go on from a known beginning"),
    ],
)
def test_what_cannot_be_done_ends_with_status_2_and_no_file(files, tmp_path, capsys, change, message):
    Image.new("L", (32, 64)).save(files / "small.png")
    chosen = {"folder": "random-per-sample", "--mask": "mask.png", **change}
    flags = [
        part
        for name, value in chosen.items()
        if name != "folder"
        for part in (name, str(files / value) if name == "--mask" else value)
    ]
    command = ["inpaint", str(files / chosen["folder"]), str(files / "image.png"), *flags]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--out", str(tmp_path / "out.png")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
