"""Pictures for people: grids, labelled rows, and an animation of an order filling a grid."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vqgen.orders import ScanOrder

GAP = 2
BACKGROUND = 214  # light grey: visible against the white of most images
FRAME = (220, 40, 40)


def picture_grid(images: Float[Tensor, "b c H W"], columns: int, *, zoom: int = 1) -> Image.Image:
    """Images side by side, `columns` a row, on light grey.

    Args:
        images: (b, c, H, W) in [-1, 1], one or three channels.
        columns: images a row, >= 1.
        zoom: each pixel becomes a square of so many pixels, >= 1.

    Returns:
        The picture.

    Raises:
        ValueError: if columns or zoom is below 1.

    Example:
        >>> picture_grid(torch.zeros(4, 3, 8, 8), columns=2).size
        (22, 22)
    """
    if columns < 1 or zoom < 1:
        raise ValueError(f"columns and zoom must be >= 1, got columns={columns}, zoom={zoom}")
    pixels = to_pixels(images)
    count, H, W, _ = pixels.shape
    rows = -(-count // columns)
    H, W = H * zoom, W * zoom
    picture = Image.new("RGB", (columns * (W + GAP) + GAP, rows * (H + GAP) + GAP), (BACKGROUND,) * 3)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        tile = Image.fromarray(image.numpy()).resize((W, H), Image.Resampling.NEAREST)
        picture.paste(tile, (GAP + column * (W + GAP), GAP + row * (H + GAP)))
    return picture


def labelled_rows(
    rows: Sequence[tuple[str, Float[Tensor, "b c H W"]]], *, zoom: int = 1, caption: str = ""
) -> Image.Image:
    """One row of images per label, the label on its left.

    Args:
        rows: label and images (b, c, H, W) in [-1, 1] of each row.
        zoom: as in `picture_grid`.
        caption: small print below, in as many lines as its words need.

    Returns:
        The picture.
    """
    font = ImageFont.load_default(size=13)
    strips = [(label, picture_grid(images, columns=len(images), zoom=zoom)) for label, images in rows]
    margin = 12 + max(int(font.getlength(label)) for label, _ in strips)
    height, width = sum(strip.height for _, strip in strips), margin + max(strip.width for _, strip in strips)
    small, lines = ImageFont.load_default(size=11), [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if small.getlength(longer) <= width - 12 else [*lines, word]
    footer = 8 + 14 * len(lines) if caption else 0
    picture = Image.new("RGB", (width, height + footer), "white")
    draw = ImageDraw.Draw(picture)
    top = 0
    for label, strip in strips:
        draw.text((margin - 6, top + strip.height / 2), label, fill="black", font=font, anchor="rm")
        picture.paste(strip, (margin, top))
        top += strip.height
    if caption:
        draw.multiline_text((6, height + 5), "\n".join(lines), fill=(90, 90, 90), font=small, spacing=3)
    return picture


def save_picture(picture: Image.Image, path: str | Path, **options: Any) -> Path:
    """Write a picture in the format of its ending; the file is there whole or not at all.

    Args:
        picture: what to write.
        path: where; parents are made.
        options: for Pillow's `save`.

    Returns:
        The path.

    Raises:
        ValueError: if the ending is that of no format Pillow writes.
    """
    path = check_picture_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        picture.save(temporary, **options)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def check_picture_path(path: str | Path) -> Path:
    """Refuse a path that no picture can be written to, before the work that leads to the picture.

    Args:
        path: where a picture is to go.

    Returns:
        The path.

    Raises:
        ValueError: if the ending is that of no format Pillow writes.
    """
    path = Path(path)
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path}: expected the ending of a picture format, such as .png, got {path.suffix!r}")
    return path


def contact_sheet(
    panels: Sequence[tuple[str, Float[Tensor, "b c H W"]]], *, columns: int = 4, across: int = 2, zoom: int = 1
) -> Image.Image:
    """Panels side by side, each a few images with its label above: the same seed under every order, say.

    Args:
        panels: label and images (b, c, H, W) in [-1, 1] of each panel, of one size.
        columns: panels a row, >= 1.
        across: images a row within a panel, >= 1.
        zoom: as in `picture_grid`.

    Returns:
        The picture, on white.

    Raises:
        ValueError: if there is no panel, or columns, across or zoom is below 1.

    Example:
        >>> contact_sheet([("raster", torch.zeros(4, 3, 32, 32)), ("hilbert", torch.zeros(4, 3, 32, 32))]).size
        (176, 108)
    """
    if columns < 1 or not panels:
        raise ValueError(f"expected at least one panel and columns >= 1, got {len(panels)} and columns={columns}")
    size, between, line = 14, 12, 20
    strips = [(label, picture_grid(images, across, zoom=zoom)) for label, images in panels]
    wide, tall = max(strip.width for _, strip in strips), max(strip.height for _, strip in strips) + line
    columns = min(columns, len(strips))
    rows = -(-len(strips) // columns)
    sheet = Image.new("RGB", (columns * (wide + between) + between, rows * (tall + between) + between // 2), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (label, strip) in enumerate(strips):
        left = between + index % columns * (wide + between)
        top = between // 2 + index // columns * (tall + between)
        draw.text((left + 1, top + line - 4), label, fill="black", font=_fitting(label, wide, size), anchor="ls")
        sheet.paste(strip, (left, top + line))
    return sheet


def save_filling_gif(
    images: Float[Tensor, "b c H W"],
    order: ScanOrder,
    path: str | Path,
    *,
    columns: int,
    zoom: int = 2,
    seconds: float = 5.0,
    groups: Sequence[int] | None = None,
) -> Path:
    """Animate how the cells of images were filled in, in scan order.

    A cell appears, at the step at which its code was drawn, as it looks in the finished image; the cells just drawn are
    framed.

    Args:
        images: (b, c, H, W) in [-1, 1], finished.
        order: the order they were drawn in; its grid divides H and W.
        path: where, ending in `.gif`.
        columns: images a row.
        zoom: as in `picture_grid`.
        seconds: length, not counting a rest on the finished images.
        groups: how many cells were drawn at each step, in visiting order; None for one.

    Returns:
        The path.

    Raises:
        ValueError: if the groups do not sum to the cells.
    """
    cells = order.positions.tolist()
    groups = [1] * len(cells) if groups is None else list(groups)
    if sum(groups) != len(cells):
        raise ValueError(f"expected groups that sum to the {len(cells)} cells, got {sum(groups)}")
    finished = picture_grid(images, columns, zoom=zoom)
    cell_height = images.shape[2] * zoom // order.height
    cell_width = images.shape[3] * zoom // order.width
    tile_height, tile_width = images.shape[2] * zoom + GAP, images.shape[3] * zoom + GAP
    canvas = Image.new("RGB", finished.size, (BACKGROUND,) * 3)
    frames = []
    for end, size in zip(accumulate(groups), groups, strict=True):
        framed = canvas.copy()
        draw = ImageDraw.Draw(framed)
        for position in cells[end - size : end]:
            row, column = divmod(position, order.width)
            for index in range(len(images)):
                left = GAP + (index % columns) * tile_width + column * cell_width
                top = GAP + (index // columns) * tile_height + row * cell_height
                box = (left, top, left + cell_width, top + cell_height)
                canvas.paste(finished.crop(box), box)
                framed.paste(finished.crop(box), box)
                draw.rectangle((left, top, left + cell_width - 1, top + cell_height - 1), outline=FRAME)
        frames.append(framed)
    # One palette for all frames: the finished picture's colours, the frame's, and room for "as before", with which
    # Pillow spares what did not change.
    palette = finished.quantize(254)
    palette.putpalette([*(palette.getpalette() or [])[: 3 * 254], *FRAME])
    colours = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in [*frames, finished]]
    step = max(20, round(1000 * seconds / len(frames)))
    durations = [step] * len(frames) + [2500]
    return save_picture(
        colours[0], path, save_all=True, append_images=colours[1:], duration=durations, loop=0, optimize=True
    )


def to_pixels(images: Float[Tensor, "b c H W"]) -> UInt8[Tensor, "b H W 3"]:
    """Images in [-1, 1] as RGB bytes, grey repeated three times.

    Args:
        images: (b, c, H, W), one or three channels.

    Returns:
        (b, H, W, 3).

    Raises:
        ValueError: for another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(f"expected images of one or three channels, got {images.shape[1]}")
    scaled = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return scaled.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()  # (b, c, H, W) -> (b, H, W, 3)


def _fitting(label: str, width: int, size: int) -> Any:
    """The default font, made smaller until a label fits."""
    while size > 9 and ImageFont.load_default(size=size).getlength(label) > width:
        size -= 1
    return ImageFont.load_default(size=size)
