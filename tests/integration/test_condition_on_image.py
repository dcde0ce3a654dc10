"""scripts/condition_on_image.py: `vqgen sample --image` and `--label-map`."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_pipeline import make_tiny_pipeline
from torch import nn

from vqgen import Pipeline, Prior
from vqgen.conditioning import AlignedGridConditioner, GridOfImages
from vqgen.data.decode import decode_file
from vqgen.data.source import to_unit_range
from vqgen.orders import order_policy
from vqgen.pictures import picture_grid

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["condition_on_image.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "scripts" / "condition_on_image.py"), run_name="__main__")


def save(folder: Path, kind: str) -> Pipeline:
    tokenizer = make_tiny_pipeline().tokenizer
    torch.manual_seed(0)
    conditioner = AlignedGridConditioner(128 if kind == "grey" else 5, 8, 8, dim=16)
    prior = Prior(128, 8, 8, dim=16, depth=1, heads=2, conditioner=conditioner)
    nn.init.normal_(prior.head.weight)
    nn.init.normal_(conditioner.embedding.weight)
    grids = GridOfImages(tokenizer, "grey") if kind == "grey" else None
    pipeline = Pipeline(tokenizer, prior, order_policy("raster", height=8, width=8), grids=grids)
    pipeline.save_pretrained(folder)
    return pipeline


def noise(size: tuple[int, int], levels: int = 256) -> Image.Image:
    pixels = torch.randint(levels, (size[1] // 4, size[0] // 4), generator=torch.Generator().manual_seed(0))
    return Image.fromarray(pixels.to(torch.uint8).numpy()).resize(size, Image.Resampling.NEAREST)


def test_an_image_is_drawn_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = save(tmp_path / "run", "grey")
    noise((64, 64)).save(tmp_path / "grey.png")
    out = tmp_path / "colour.png"
    run(tmp_path / "run", "--image", tmp_path / "grey.png", "--n", 4, "--seed", 3, "--device", "cpu", "--out", out)
    assert capsys.readouterr().out == f"wrote {out}\n"
    given = to_unit_range(decode_file(tmp_path / "grey.png"))[None]
    expected = picture_grid(pipeline.generate(4, given, seed=3), 4)
    with Image.open(out) as picture:
        assert picture.tobytes() == expected.tobytes()


def test_a_label_map_is_drawn_from(tmp_path: Path) -> None:
    pipeline = save(tmp_path / "run", "labels")
    noise((128, 128), levels=4).save(tmp_path / "labels.png")
    out = tmp_path / "drawn.png"
    run(tmp_path / "run", "--label-map", tmp_path / "labels.png", "--n", 2, "--device", "cpu", "--out", out)
    cells = torch.randint(4, (32, 32), generator=torch.Generator().manual_seed(0))  # 4 x 4 pixels each, then 2 x 2
    votes = torch.nn.functional.one_hot(cells, 5).view(8, 4, 8, 4, 5).sum((1, 3)).argmax(-1)
    with Image.open(out) as picture:
        assert picture.tobytes() == picture_grid(pipeline.generate(2, votes[None], seed=0), 2).tobytes()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("labels", ["--image", "grey.png"], "is not told an image; leave it out, or train one that is"),
        ("grey", ["--label-map", "grey.png"], "is not told a label map; leave it out"),
        ("grey", ["--image", "grey.png", "--condition", "cat"], "each say what to draw; pass one of them"),
        ("grey", ["--image", "none.png"], "cannot read the image none.png"),
    ],
)
def test_refuses_with_status_2(
    kind: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "run", kind)
    noise((64, 64)).save("grey.png")
    with pytest.raises(SystemExit) as stop:
        run("run", *options)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
