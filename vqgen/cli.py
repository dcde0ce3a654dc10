"""The `vqgen` program: one function per command, each importing what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vqgen import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from vqgen.pipeline import Pipeline

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")
COMPUTING_COMMANDS = (*LIGHTNING_COMMANDS, "quickstart", "sample", "inpaint", "tokenize", "evaluate", "compare")

EPILOG = """\
training:
  fit, validate, test, predict    LightningCLI: vqgen fit --config configs/tokenizer/openmoji.yaml
                                  (vqgen fit --help lists every option)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program.

    Args:
        arguments: what follows the program's name; None takes the command line's.

    Raises:
        SystemExit: with 2 and a message on what to do, if the user's input cannot be used.
    """
    first = next(iter(sys.argv[1:] if arguments is None else arguments), None)
    if first in LIGHTNING_COMMANDS:
        from vqgen.training.cli import main as lightning_main

        with _runtime_for(first):
            lightning_main(None if arguments is None else list(arguments))
        return
    try:
        if first in ("tokenize", "evaluate"):
            run = tokenize if first == "tokenize" else evaluate
            with _runtime_for(first):
                run(None if arguments is None else list(arguments))
            return
        given = sys.argv[1:] if arguments is None else list(arguments)
        if given[:2] == ["orders", "search"]:
            with _runtime_for("sample"):
                orders_search(None if arguments is None else given)
            return
        options = make_parser().parse_args(arguments)
        with _runtime_for(first):
            options.run(options)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        # An extra that is missing says how to get it; anything else is a fault of ours.
        if "pip install" not in str(error):
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands but Lightning's."""
    parser = argparse.ArgumentParser(
        prog="vqgen",
        description="Two-stage image generation, with the scan order as a choice.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vqgen {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_quickstart(commands)
    _add_sample(commands)
    _add_inpaint(commands)
    _add_orders(commands)
    commands.add_parser("tokenize", help="encode a data set's images once", add_help=False)
    commands.add_parser("evaluate", help="measure a trained tokenizer on images", add_help=False)
    _add_compare(commands)
    _add_import(commands)
    about = commands.add_parser("info", help="versions, devices and settings, as a report of a fault needs them")
    about.set_defaults(run=info)
    return parser


def quickstart(options: argparse.Namespace) -> None:
    """Learn OpenMoji, tokenizer and prior, and draw new emoji."""
    from vqgen.training.quickstart import quickstart as run

    run(options.out, minutes=options.minutes, order=options.order, overwrite=options.overwrite, seed=options.seed)


def sample(options: argparse.Namespace) -> None:
    """Draw images from a trained pipeline into one picture."""
    import torch

    from vqgen.conditioning import TextConditioner
    from vqgen.pictures import check_picture_path, picture_grid, save_filling_gif, save_picture
    from vqgen.pipeline import Condition, Pipeline
    from vqgen.prior import MaskedPrior
    from vqgen.sampling import CONFIDENCE_ORDERS, group_sizes, guidance_ramp

    check_picture_path(options.out)
    if options.gif:
        check_picture_path(options.gif)
        if options.order in CONFIDENCE_ORDERS:
            raise ValueError(
                f"--gif shows one order, and with --order {options.order} each image has its own; drop one"
            )
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = Pipeline.from_pretrained(options.folder).to(device).in_precision(options.precision)
    if options.gif and isinstance(pipeline.prior, MaskedPrior):
        raise ValueError(f"--gif shows the order of drawing, and the prior in {options.folder} is masked and has none")
    if options.compile:
        pipeline = pipeline.compile()
    if options.condition and options.prompt:
        raise ValueError(
            "--condition names a class and --prompt a caption; a prior is told one of them, drop the other"
        )
    if options.prompt and not isinstance(pipeline.prior.conditioner, TextConditioner):
        raise ValueError(
            f"the prior in {options.folder} is told no captions; name a class with --condition, or train one that is, "
            "as configs/prior/openmoji_text.yaml does"
        )
    words = options.condition or options.prompt
    condition: Condition = None
    if options.image or options.label_map:
        condition = _picture_told(options, pipeline)
    elif words is not None:
        condition = words[0] if len(words) == 1 else [words[i % len(words)] for i in range(options.n)]
    images = pipeline.generate(
        options.n,
        condition,
        options.order,
        steps=options.steps,
        schedule=options.schedule,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        guidance=guidance_ramp(options.guidance_ramp, options.guidance),
        seed=options.seed,
        batch_size=options.batch_size,
        best_of=options.best_of,
        scorer=options.scorer,
    )
    columns = options.columns or min(options.n, 8)
    print(f"wrote {save_picture(picture_grid(images, columns), options.out)}")
    if options.gif:
        several = options.steps is not None and options.steps < pipeline.prior.height * pipeline.prior.width
        order = pipeline.resolve_order(options.order, several=several)
        groups = group_sizes(order.positions.numel(), options.steps, options.schedule) if several else None
        print(f"wrote {save_filling_gif(images, order, options.gif, columns=columns, groups=groups)}")


def _picture_told(options: argparse.Namespace, pipeline: Pipeline) -> Tensor:
    """The condition of `sample --image` or `--label-map`: an image, or a grid of labels; one for all samples."""
    from PIL import Image

    from vqgen.conditioning import SpatialConditioner
    from vqgen.data.decode import Channels, decode_file
    from vqgen.data.label_maps import LabelsOfCells, cut_labels
    from vqgen.data.resize import resize_and_crop
    from vqgen.data.source import to_unit_range

    told = pipeline.prior.conditioner
    if sum(map(bool, (options.image, options.label_map, options.condition, options.prompt))) > 1:
        raise ValueError("--image, --label-map, --condition and --prompt each say what to draw; pass one of them")
    if not isinstance(told, SpatialConditioner) or (pipeline.grids is None) == bool(options.image):
        raise ValueError(
            f"the prior in {options.folder} is not told "
            + ("an image" if options.image else "a label map")
            + "; leave it out, or train one that is, as configs/prior/openmoji_colour.yaml does"
        )
    if options.image:
        channels: Channels = 1 if int(pipeline.tokenizer.encoder.in_channels) == 1 else 3  # type: ignore[arg-type]
        return to_unit_range(resize_and_crop(decode_file(options.image, channels), pipeline.image_size))[None]
    with Image.open(options.label_map) as picture:
        levels = cut_labels(picture, pipeline.image_size)
    cells = LabelsOfCells(told.num_codes - 1, pipeline.image_size[0] // told.grid_height)
    return cells.encode(to_unit_range(levels)[None])


def inpaint(options: argparse.Namespace) -> None:
    """Draw the masked part of an image anew, given the rest."""
    import torch

    from vqgen.data.decode import Channels, decode_file
    from vqgen.data.resize import resize_and_crop
    from vqgen.pictures import check_picture_path, picture_grid, save_picture
    from vqgen.pipeline import Pipeline

    check_picture_path(options.out)
    if options.n < 1:
        raise ValueError(f"--n must be >= 1, got {options.n}")
    pipeline = Pipeline.from_pretrained(options.folder)
    channels: Channels = 1 if int(pipeline.tokenizer.encoder.in_channels) == 1 else 3  # type: ignore[arg-type]
    pixels, white = decode_file(options.image, channels), decode_file(options.mask, 1)
    if pixels.shape[1:] != white.shape[1:]:
        raise ValueError(
            f"expected a mask of the image's size, {pixels.shape[2]} x {pixels.shape[1]} pixels, got "
            f"{white.shape[2]} x {white.shape[1]}; paint white what is to be drawn, black what is kept"
        )
    image = resize_and_crop(pixels, pipeline.image_size).float() / 127.5 - 1
    mask = resize_and_crop(white, pipeline.image_size)[0] > 127
    drawn = pipeline.inpaint(
        image.expand(options.n, -1, -1, -1),
        mask,
        options.condition,
        options.order,
        steps=options.steps,
        margin=options.margin,
        fill=options.fill,
        blend=options.blend,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        guidance=options.guidance,
        seed=options.seed,
    )
    if options.rows:
        drawn = torch.cat((image[None], torch.where(mask, 0.0, image)[None], drawn))
    print(f"wrote {save_picture(picture_grid(drawn, len(drawn)), options.out)}")


def orders_list(options: argparse.Namespace) -> None:
    """Name every order with its one-line definition."""
    from vqgen.orders import ORDERS, definition

    width = max(map(len, ORDERS))
    for name in ORDERS:
        print(f"{name:{width}}  {definition(name)}")


def orders_show(options: argparse.Namespace) -> None:
    """Draw an order, or print its positions."""
    from vqgen.orders import ScanOrder, draw_order, measure_locality, scan_order

    grid = {"height": 16, "width": 16}
    if options.name.endswith(".json"):
        kept = ScanOrder.load(options.name)
        grid = {"height": kept.height, "width": kept.width}
    grid |= {side: given for side in grid if (given := getattr(options, side)) is not None}
    order = scan_order(options.name, **grid, seed=options.seed)
    if options.out is not None:
        draw_order(order, options.out)
        print(f"wrote {options.out}")
    else:
        digits = len(str(order.positions.numel() - 1))
        for row in order.steps.view(order.height, order.width).tolist():
            print(" ".join(f"{step:{digits}d}" for step in row))
    print(measure_locality(order))


def orders_search(arguments: list[str] | None) -> None:
    """Find a fixed order for a data set with a prior that takes any order.

    Args:
        arguments: `orders search` and what follows. The image source is named as in a config.
    """
    from jsonargparse import auto_cli

    from vqgen.compare.search_command import search

    written = auto_cli({"orders": {"search": search}}, args=arguments, prog="vqgen", as_positional=True)
    print(f"wrote {written}")


def tokenize(arguments: list[str] | None) -> None:
    """Encode a data set's images once and write the code grids.

    Args:
        arguments: `tokenize` and what follows it. The image source is named as in a config, which is why jsonargparse
            reads them.
    """
    from jsonargparse import auto_cli

    from vqgen.data.tokenize import tokenize as run

    written = auto_cli({"tokenize": run}, args=arguments, prog="vqgen", as_positional=False)
    print(f"wrote {written}")


def evaluate(arguments: list[str] | None) -> None:
    """Measure a trained model and write the figures with their conditions.

    Args:
        arguments: `evaluate`, what is measured, and what follows. The image source is named as in a config.
    """
    from jsonargparse import auto_cli

    from vqgen.evaluation.command import tokenizer

    written = auto_cli({"evaluate": {"tokenizer": tokenizer}}, args=arguments, prog="vqgen", as_positional=True)
    print(f"wrote {written}")


def compare_plan(options: argparse.Namespace) -> None:
    """List a plan's runs with their numbers, and how long they will take."""
    from vqgen.compare.command import show_plan

    show_plan(options.plan, options.set)


def compare_run(options: argparse.Namespace) -> None:
    """Train and measure a plan's runs, going on where an earlier call stopped; one that fails does not stop others."""
    from vqgen.compare.command import run

    done = run(options.plan, options.set, index=options.index, jobs=options.jobs, retry=options.retry)
    if options.index is not None and not done:
        sys.exit(1)  # a job scheduler tells failed tasks by their status


def compare_report(options: argparse.Namespace) -> None:
    """Write report.html, results.csv and results.json of the runs that are finished."""
    from vqgen.compare.command import report

    print(f"wrote {report(options.plan, options.set)}")


def import_tokenizer(options: argparse.Namespace) -> None:
    """Bring another project's tokenizer along: its checkpoint becomes a folder of ours."""
    from vqgen.interop import import_tokenizer as read

    tokenizer = read(options.source, options.checkpoint)
    print(f"wrote {tokenizer.save_pretrained(options.out)}")


def info(options: argparse.Namespace) -> None:
    """Print versions, machine, devices and what the program sets for its process."""
    from vqgen.attention import gemv_hindrance, gemv_is_faster
    from vqgen.runtime import Setting, describe_system
    from vqgen.tokenizer.winograd import winograd_hindrance

    made_for_it = None if gemv_is_faster() else "torch's libraries are made for this processor"
    hindrances = {
        "own kernels for few rows": made_for_it or gemv_hindrance(),
        "own kernel for 3x3 convolutions": winograd_hindrance(),
    }
    own = [Setting(name, why is None, why or "built for this processor") for name, why in hindrances.items()]
    print(describe_system(*own))


@contextmanager
def _runtime_for(command: str | None) -> Iterator[None]:
    """Set the process up for a command that computes; the others start without loading torch."""
    if command not in COMPUTING_COMMANDS:
        yield
        return
    from vqgen.runtime import prepared_runtime

    with prepared_runtime():
        yield


def _add_quickstart(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("quickstart", help="learn OpenMoji and draw new ones", description=quickstart.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="folder (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=7.75, help="time to spend in all (default: %(default)s)")
    parser.add_argument("--order", default="bit-reversal", help="see `vqgen orders list` (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in the folder without asking")
    parser.set_defaults(run=quickstart)


def _add_sample(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("sample", help="draw images from a trained pipeline", description=sample.__doc__)
    parser.add_argument(
        "folder", type=Path, help="holds tokenizer/ and prior/, as `vqgen fit` and quickstart write them"
    )
    parser.add_argument("--n", type=int, default=16, help="number of images (default: %(default)s)")
    parser.add_argument(
        "--condition", nargs="+", help="class name or number; several are taken in turn (default: no class)"
    )
    parser.add_argument(
        "--prompt", nargs="+", help='what to draw, as "red apple"; several are taken in turn. For priors told captions'
    )
    parser.add_argument(
        "--image", type=Path, help="what to draw from: grey to be coloured, say. For priors told grids of images"
    )
    parser.add_argument("--label-map", type=Path, help="likewise, a PNG of labels. For priors told label maps")
    parser.add_argument(
        "--best-of",
        type=int,
        default=1,
        metavar="N",
        help="draw N for each image, keep the best (default: %(default)s)",
    )
    parser.add_argument(
        "--scorer",
        choices=("information", "likelihood"),
        help="what --best-of judges by (default: how much likelier the condition makes the image)",
    )
    parser.add_argument(
        "--order",
        help="scan order or order file, or most-certain or most-informative cells first (default: the one trained in)",
    )
    parser.add_argument(
        "--steps", type=int, help="draw several cells at a time, in so many steps; for priors trained in any order"
    )
    parser.add_argument(
        "--schedule",
        default="cosine",
        choices=("cosine", "linear"),
        help="how cells are spread over --steps (default: %(default)s, few at first)",
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest (default: %(default)s)")
    parser.add_argument("--top-k", type=int, help="keep the k likeliest codes (default: all)")
    parser.add_argument("--top-p", type=float, help="keep codes up to this probability (default: all)")
    parser.add_argument("--guidance", type=float, default=1.0, help="classifier-free scale (default: %(default)s)")
    parser.add_argument(
        "--guidance-ramp",
        default="constant",
        choices=("constant", "linear", "cosine", "power"),
        help="how the scale rises from 1 to --guidance over the sequence (default: %(default)s, at once)",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16", "int8"),
        help="of the prior: int8 is for CPUs, bf16 for GPUs (default: %(default)s, as trained)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile first, for a minute or so; faster at --batch-size 1"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=64, help="drawn at a time (default: %(default)s)")
    parser.add_argument("--columns", type=int, help="images a row (default: up to 8)")
    parser.add_argument("--device", help="such as cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--out", type=Path, default=Path("samples.png"), help="picture (default: %(default)s)")
    parser.add_argument("--gif", type=Path, help="also show how the images fill in, step by step")
    parser.set_defaults(run=sample)


def _add_inpaint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("inpaint", help="draw the masked part of an image", description=inpaint.__doc__)
    parser.add_argument("folder", type=Path, help="a pipeline whose prior was trained with order random-per-sample")
    parser.add_argument("image", type=Path, help="scaled and cut to the trained size")
    parser.add_argument("--mask", type=Path, required=True, help="picture of the image's size, white where to draw")
    parser.add_argument("--n", type=int, default=1, help="number of results (default: %(default)s)")
    parser.add_argument("--condition", help="class name or number (default: no class)")
    parser.add_argument(
        "--order",
        help="scan order of the hole, or most-certain or most-informative cells first "
        "(default: raster; halton with --steps)",
    )
    parser.add_argument("--steps", type=int, help="draw several cells at a time, in so many steps")
    parser.add_argument(
        "--margin", type=int, default=0, help="cells around the hole to draw too (default: %(default)s)"
    )
    parser.add_argument(
        "--fill", default="edge", help="of the hole before encoding: edge or mean (default: %(default)s)"
    )
    parser.add_argument("--blend", default="feather", help="feather, paste or none (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest (default: %(default)s)")
    parser.add_argument("--top-k", type=int, help="keep the k likeliest codes (default: all)")
    parser.add_argument("--top-p", type=float, help="keep codes up to this probability (default: all)")
    parser.add_argument("--guidance", type=float, default=1.0, help="classifier-free scale (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--rows", action="store_true", help="show the image and the masked image before the results")
    parser.add_argument("--out", type=Path, default=Path("inpainted.png"), help="picture (default: %(default)s)")
    parser.set_defaults(run=inpaint)


def _add_orders(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("orders", help="list, draw and find scan orders")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="name every order", description=orders_list.__doc__)
    listing.set_defaults(run=orders_list)
    show = actions.add_parser("show", help="draw an order", description=orders_show.__doc__)
    show.add_argument("name", help="see `vqgen orders list`; or an order file, ending in .json")
    show.add_argument("--height", type=int, help="rows of the grid (default: 16, or those of the file)")
    show.add_argument("--width", type=int, help="columns of the grid (default: 16, or those of the file)")
    show.add_argument("--seed", type=int, default=0, help="for orders that are drawn (default: %(default)s)")
    show.add_argument("--out", type=Path, help="PNG or SVG to write; without it the step of each cell is printed")
    show.set_defaults(run=orders_show)
    actions.add_parser("search", help="find an order for a data set, with a prior that takes any", add_help=False)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("compare", help="train one prior per scan order and compare them")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, run in (("plan", compare_plan), ("run", compare_run), ("report", compare_report)):
        text = (run.__doc__ or "").strip()
        action = actions.add_parser(name, help=text.partition(",")[0].rstrip("."), description=text)
        what = "YAML file, such as configs/compare/smoke.yaml"
        action.add_argument("plan", type=Path, help=f"{what}, or the results' folder" if name == "report" else what)
        action.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="in place of the file's, as budget.steps=9"
        )
        action.set_defaults(run=run)
        if name == "run":
            action.add_argument("--index", type=int, nargs="+", help="do only these runs, as one job of several")
            action.add_argument(
                "--jobs", type=int, default=1, help="processes beside each other (default: %(default)s)"
            )
            action.add_argument("--retry", action="store_true", help="try failed runs again")


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "import", help="bring another project's tokenizer along", description=import_tokenizer.__doc__
    )
    parser.add_argument("source", help="who trained it: taming, llamagen, maskgit, dalle or diffusers")
    parser.add_argument("checkpoint", nargs="+", type=Path, help="its file; of dalle the encoder's and the decoder's")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.set_defaults(run=import_tokenizer)


def _fail(message: str) -> NoReturn:
    print(f"vqgen: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
