"""Pictures for people: grids, labelled rows, and an animation of an order filling a grid."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
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
        caption: a line of small print below.

    Returns:
        The picture.
    """
    font = ImageFont.load_default(size=13)
    strips = [(label, picture_grid(images, columns=len(images), zoom=zoom)) for label, images in rows]
    margin = 12 + max(int(font.getlength(label)) for label, _ in strips)
    footer = 22 if caption else 0
    height = sum(strip.height for _, strip in strips)
    picture = Image.new("RGB", (margin + max(strip.width for _, strip in strips), height + footer), "white")
    draw = ImageDraw.Draw(picture)
    top = 0
    for label, strip in strips:
        draw.text((margin - 6, top + strip.height / 2), label, fill="black", font=font, anchor="rm")
        picture.paste(strip, (margin, top))
        top += strip.height
    if caption:
        draw.text((6, height + 5), caption, fill=(90, 90, 90), font=ImageFont.load_default(size=11))
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


def save_filling_gif(
    images: Float[Tensor, "b c H W"],
    order: ScanOrder,
    path: str | Path,
    *,
    columns: int,
    zoom: int = 2,
    seconds: float = 5.0,
) -> Path:
    """Animate how the cells of images were filled in, in scan order.

    A cell appears, at the step at which its code was drawn, as it looks in the finished image; the cell just drawn is
    framed.

    Args:
        images: (b, c, H, W) in [-1, 1], finished.
        order: the order they were drawn in; its grid divides H and W.
        path: where, ending in `.gif`.
        columns: images a row.
        zoom: as in `picture_grid`.
        seconds: length, not counting a rest on the finished images.

    Returns:
        The path.
    """
    finished = picture_grid(images, columns, zoom=zoom)
    cell_height = images.shape[2] * zoom // order.height
    cell_width = images.shape[3] * zoom // order.width
    tile_height, tile_width = images.shape[2] * zoom + GAP, images.shape[3] * zoom + GAP
    canvas = Image.new("RGB", finished.size, (BACKGROUND,) * 3)
    frames = []
    for position in order.positions.tolist():
        row, column = divmod(position, order.width)
        framed = canvas.copy()
        draw = ImageDraw.Draw(framed)
        for index in range(len(images)):
            left = GAP + (index % columns) * tile_width + column * cell_width
            top = GAP + (index // columns) * tile_height + row * cell_height
            box = (left, top, left + cell_width, top + cell_height)
            canvas.paste(finished.crop(box), box)
            framed.paste(finished.crop(box), box)
            draw.rectangle((left, top, left + cell_width - 1, top + cell_height - 1), outline=FRAME)
        frames.append(framed)
    # One palette for all frames: the finished picture's colours, and the frame's.
    palette = finished.quantize(255)
    palette.putpalette([*(palette.getpalette() or [])[: 3 * 255], *FRAME])
    colours = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in [*frames, finished]]
    step = max(20, round(1000 * seconds / len(frames)))
    durations = [step] * len(frames) + [2500]
    return save_picture(colours[0], path, save_all=True, append_images=colours[1:], duration=durations, loop=0)


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
