"""Pictures of what a prior that takes any order can do, from one pipeline.

    python scripts/any_order_pictures.py runs/openmoji_any_order --out docs/images
    python scripts/any_order_pictures.py runs/openmoji_any_order --only filling --orders hilbert --out pictures

writes into the folder
- `inpainting.png`: an image, the same with a hole, and three ways to fill it, for several images and holes;
- `outpainting.png`: images, and what lies beyond their edges;
- `larger.png`: pictures twice as high and as wide as those trained on, drawn in three orders;
- `orders-sheet.png`: the same seed under every order;
- `filling/NAME.gif`: how the images fill in under every order, and `filling/groups.gif` for several cells a step.

FOLDER holds a pipeline whose prior was trained with order random-per-sample. Images to edit are taken from a data set
that the package can read by itself (`--data`, validation split); with `--data none` the pipeline draws them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqgen import Pipeline
from vqgen.data import ImageSource, OpenMoji, TorchvisionImages
from vqgen.data.openmoji_table import ATTRIBUTION
from vqgen.editing import canvas_around
from vqgen.orders import ORDERS, available_orders
from vqgen.pictures import contact_sheet, labelled_rows, save_filling_gif, save_picture
from vqgen.runtime import prepared_runtime
from vqgen.sampling import group_sizes

LIMIT = 300_000  # bytes of an animation: it is to load on a page with many of them
LARGER = ("raster", "hilbert", "spiral-out")


def masks(height: int, width: int) -> dict[str, Tensor]:
    """Holes of several kinds, (H, W), True where unknown."""
    rows, columns = torch.arange(height)[:, None] / height, torch.arange(width)[None, :] / width
    middle = ((rows - 0.5).abs() < 0.25) & ((columns - 0.5).abs() < 0.25)
    return {
        "middle": middle,
        "left half": (columns < 0.5).expand(height, width),
        "lower half": (rows >= 0.5).expand(height, width),
        "border": ~(((rows - 0.5).abs() < 0.3) & ((columns - 0.5).abs() < 0.3)),
    }


def inpainting(pipeline: Pipeline, images: Tensor, labels: list[int], out: Path, options: argparse.Namespace) -> None:
    rows = []
    for (name, mask), image, label in zip(masks(*pipeline.image_size).items(), images, labels, strict=False):
        shown = torch.stack((image, torch.where(mask, 0.0, image)))
        drawn = pipeline.inpaint(
            image.expand(3, -1, -1, -1), mask, condition(pipeline, [label] * 3), seed=options.seed, **sampling(options)
        )
        rows.append((name, torch.cat((shown, drawn))))
    caption = f"From the left: the image, what is known of it, three results. {options.caption}".strip()
    say(save_picture(labelled_rows(rows, zoom=options.zoom, caption=caption), out / "inpainting.png"))


def outpainting(pipeline: Pipeline, images: Tensor, labels: list[int], out: Path, options: argparse.Namespace) -> None:
    height, width = pipeline.image_size
    wide, tall = width // 2, height // 2
    middle = {"left": wide // 2, "right": wide - wide // 2, "top": tall // 2, "bottom": tall - tall // 2}
    chosen, rows = images[:3], [("known", canvas_around(images[:3], **middle)[0])]
    for name, sides in (
        ("all around", middle),
        ("left and above", {"left": wide, "top": tall}),
        ("right and below", {"right": wide, "bottom": tall}),
    ):
        drawn = pipeline.outpaint(
            chosen, condition=condition(pipeline, labels[:3]), seed=options.seed, **sides, **sampling(options)
        )
        rows.append((name, drawn))
    caption = f"What was known, and what was drawn on beyond its edges. {options.caption}".strip()
    say(save_picture(labelled_rows(rows, zoom=options.zoom, caption=caption), out / "outpainting.png"))


def larger(pipeline: Pipeline, images: Tensor, labels: list[int], out: Path, options: argparse.Namespace) -> None:
    height, width = pipeline.image_size
    rows = []
    for order in LARGER:
        drawn = pipeline.generate_larger(
            3,
            height=2 * height,
            width=2 * width,
            condition=condition(pipeline, labels[:3]),
            order=order,
            seed=options.seed,
            **sampling(options),
        )
        rows.append((order, drawn))
    caption = f"Twice as high and wide as any image in training. {options.caption}".strip()
    say(save_picture(labelled_rows(rows, zoom=options.zoom, caption=caption), out / "larger.png"))


def sheet(pipeline: Pipeline, images: Tensor, labels: list[int], out: Path, options: argparse.Namespace) -> None:
    panels = []
    for name in orders(pipeline, options):
        drawn = pipeline.generate(
            4, condition(pipeline, (labels * 4)[:4]), name, seed=options.seed, **sampling(options)
        )
        panels.append((name, drawn))
    say(save_picture(contact_sheet(panels, columns=4, zoom=options.zoom), out / "orders-sheet.png"))


def filling(pipeline: Pipeline, images: Tensor, labels: list[int], out: Path, options: argparse.Namespace) -> None:
    cells = pipeline.prior.height * pipeline.prior.width
    groups = group_sizes(cells, max(1, cells // 8))
    # Each order one cell at a step, and the groups in the order they are drawn in by default.
    for name, order, sizes in [
        *((name, name, None) for name in orders(pipeline, options)),
        ("groups", "halton", groups),
    ]:
        drawn = pipeline.generate(
            4,
            condition(pipeline, (labels * 4)[:4]),
            order,
            steps=None if sizes is None else list(sizes),
            seed=options.seed,
            **sampling(options),
        )
        path = out / "filling" / f"{name.replace(':', '-')}.gif"
        for zoom in range(options.zoom, 0, -1):
            save_filling_gif(drawn, pipeline.resolve_order(order), path, columns=4, zoom=zoom, groups=sizes)
            if path.stat().st_size <= LIMIT:
                break
        else:
            raise ValueError(f"{path} has {path.stat().st_size} bytes at zoom 1; animate smaller images")
        say(path)


PICTURES: dict[str, Callable[[Pipeline, Tensor, list[int], Path, argparse.Namespace], None]] = {
    "inpainting": inpainting,
    "outpainting": outpainting,
    "larger": larger,
    "sheet": sheet,
    "filling": filling,
}


def orders(pipeline: Pipeline, options: argparse.Namespace) -> list[str]:
    """Orders that take the grid, each once: names of taming-transformers are left out unless asked for."""
    possible = available_orders(height=pipeline.prior.height, width=pipeline.prior.width)
    return [name for name in options.orders or possible if options.orders or not name.startswith("taming:")]


def condition(pipeline: Pipeline, labels: list[int]) -> list[int] | None:
    return labels if pipeline.prior.num_classes else None


def sampling(options: argparse.Namespace) -> dict[str, Any]:
    return {"temperature": options.temperature, "top_k": options.top_k, "guidance": options.guidance}


def source(name: str, size: tuple[int, int]) -> ImageSource | None:
    if name == "openmoji":
        return OpenMoji(size)
    if name == "fashion-mnist":
        return TorchvisionImages("FashionMNIST", "data", size, channels=1)
    return None


def images_to_edit(pipeline: Pipeline, options: argparse.Namespace) -> tuple[Tensor, list[int]]:
    """Four images the prior has not seen, and their labels; or four of its own."""
    held_out = source(options.data, pipeline.image_size)
    if held_out is None:
        labels = [index % max(1, pipeline.prior.num_classes) for index in range(4)]
        return pipeline.generate(4, condition(pipeline, labels), seed=options.seed, **sampling(options)), labels
    split = held_out.split("validation")
    batch = split.batch(options.images or range(0, len(split), max(1, len(split) // 4))[:4])
    return torch.as_tensor(batch.images), torch.as_tensor(batch.labels).tolist()


def say(path: Path) -> None:
    print(f"wrote {path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a pipeline whose prior takes any order")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), help="some of the pictures")
    parser.add_argument(
        "--orders", nargs="+", choices=ORDERS, metavar="ORDER", help="of sheet and filling; default: all"
    )
    parser.add_argument("--data", default="openmoji", choices=("openmoji", "fashion-mnist", "none"))
    parser.add_argument("--images", nargs=4, type=int, metavar="INDEX", help="of the validation split; default: spread")
    parser.add_argument("--caption", help="small print below (default: whose drawings they are, for openmoji)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument(
        "--zoom", type=int, default=2, help="pixels a pixel; animations take less if they grow too large"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.caption is None:
        options.caption = ATTRIBUTION if options.data == "openmoji" else ""
    with prepared_runtime():
        pipeline = Pipeline.from_pretrained(options.folder)
        images, labels = images_to_edit(pipeline, options)
        for name in options.only:
            PICTURES[name](pipeline, images, labels, options.out, options)


if __name__ == "__main__":
    main()
