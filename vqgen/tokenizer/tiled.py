"""Encoding and decoding of images that are too large for one pass, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.tokenizer.shared_norm import SharedStatistics, Window
from vqgen.tokenizer.tokenizer import Tokenizer, grid_size


@torch.no_grad()
def encode_tiled(
    tokenizer: Tokenizer, images: Float[Tensor, "b c H W"], *, tile: int = 48, overlap: int = 12, passes: int = 4
) -> Int[Tensor, "b h w"]:
    """Codes of images of any size, in the memory that one window takes.

    The grid is cut into tiles. A tile's codes are those of a window that reaches `overlap` cells beyond it on each
    side, no further than the image does. How near that is to `tokenizer.encode` depends on the body:

    - **Layers that look nearby only** (`DVAEEncoder`): equal up to rounding, at the seams too, where `overlap` is at
      least the body's reach (12 cells for DALL-E's sizes).
    - **Group norm** (`Encoder` without attention): the statistics are those of the whole image, approached in `passes`
      over all windows. Equal up to rounding with one pass more than there are norms; `README.md` has figures for fewer.
    - **Attention** (`Encoder` with it, `ViTEncoder`): it sees the window and no more, so that the codes are another,
      equally defined, description of the image: not equal, however large the overlap. A window of the size of the
      training images is the size such a body knows.

    An image that fits in one window is encoded as `tokenizer.encode` does.

    Args:
        tokenizer: on any device.
        images: (b, c, H, W) in [-1, 1], on any device; a window at a time is moved to the tokenizer's.
        tile: cells a side of what a window decides, >= 1.
        overlap: cells that a window reaches beyond it on each side, >= 0.
        passes: times that all windows are gone through, >= 1; a body without group norm needs, and takes, one.

    Returns:
        (b, h, w) int64, on the images' device.

    Raises:
        ValueError: if a number is out of range, or a side is not divisible by the downsampling.

    Example:
        >>> from vqgen.quantizers import EMAVectorQuantizer
        >>> from vqgen.tokenizer import DVAEDecoder, DVAEEncoder, Tokenizer
        >>> body = dict(channels=8, levels=2, blocks=1)
        >>> tokenizer = Tokenizer(DVAEEncoder(**body), DVAEDecoder(**body), EMAVectorQuantizer(codebook_size=16, dim=4))
        >>> images = torch.rand(1, 3, 64, 48) * 2 - 1
        >>> torch.equal(encode_tiled(tokenizer, images, tile=8, overlap=8), tokenizer.encode(images))
        True
    """
    cell = tokenizer.downsampling
    h, w = grid_size((images.shape[-2], images.shape[-1]), cell)
    depth = tokenizer.quantizer.depth
    device = tokenizer.to_quantizer.weight.device
    codes = torch.empty(images.shape[0], depth, h, w, dtype=torch.int64, device=images.device)

    def encode(window: Window) -> Tensor:
        part = images[:, :, _scaled(window.rows, cell), _scaled(window.columns, cell)].to(device)
        return tokenizer.encode(part).view(len(part), depth, *_size(window))  # (b, depth * h, w) -> (b, depth, h, w)

    for window, found in _run(tokenizer.encoder, encode, (h, w), tile, overlap, passes):
        core = found[:, :, window.core_rows, window.core_columns]
        rows, columns = _place(window)
        codes[:, :, rows, columns] = core.to(codes.device)
    return codes.view(len(codes), depth * h, w)


@torch.no_grad()
def decode_tiled(
    tokenizer: Tokenizer, codes: Int[Tensor, "b h w"], *, tile: int = 48, overlap: int = 12, passes: int = 4
) -> Float[Tensor, "b c H W"]:
    """Images of codes of any size, in the memory that one window takes and the images themselves.

    What it gives in the place of `tokenizer.decode` is the same as for `encode_tiled`, with the decoder's layers.

    Args:
        tokenizer: on any device.
        codes: (b, h, w) in [0, k), on any device.
        tile: cells a side of what a window decides, >= 1.
        overlap: cells that a window reaches beyond it on each side, >= 0.
        passes: times that all windows are gone through, >= 1; a body without group norm takes one.

    Returns:
        (b, c, h * downsampling, w * downsampling) fp32 in [-1, 1], on the codes' device.

    Raises:
        ValueError: if a number is out of range, or a code is.
    """
    cell, depth = tokenizer.downsampling, tokenizer.quantizer.depth
    cells = codes.view(codes.shape[0], depth, codes.shape[1] // depth, codes.shape[2])
    b, _, h, w = cells.shape
    device = tokenizer.to_quantizer.weight.device
    images: Tensor | None = None

    def decode(window: Window) -> Tensor:
        part = cells[:, :, window.rows, window.columns].to(device)
        return tokenizer.decode(part.reshape(b, -1, part.shape[-1]))

    for window, found in _run(tokenizer.decoder, decode, (h, w), tile, overlap, passes):
        core = found[:, :, _scaled(window.core_rows, cell), _scaled(window.core_columns, cell)]
        if images is None:
            images = torch.empty(b, found.shape[1], h * cell, w * cell, device=codes.device)
        rows, columns = _place(window)
        images[:, :, _scaled(rows, cell), _scaled(columns, cell)] = core.to(images.device)
    assert images is not None
    return images


def windows(size: tuple[int, int], tile: int, overlap: int) -> Iterator[Window]:
    """Windows whose cores cover a grid, each cell once.

    Args:
        size: (h, w) of the grid.
        tile: cells a side of a core, >= 1.
        overlap: cells beyond it on each side, as far as the grid goes, >= 0.

    Yields:
        The windows, in raster order.

    Example:
        >>> for window in windows((1, 5), tile=2, overlap=1):
        ...     print(window.columns, window.core_columns)
        slice(0, 3, None) slice(0, 2, None)
        slice(1, 5, None) slice(1, 3, None)
        slice(3, 5, None) slice(1, 2, None)
    """
    for top in range(0, size[0], tile):
        for left in range(0, size[1], tile):
            rows, core_rows = _reach(top, size[0], tile, overlap)
            columns, core_columns = _reach(left, size[1], tile, overlap)
            yield Window(rows, columns, core_rows, core_columns)


def _run(
    network: nn.Module, code: Callable[[Window], Tensor], size: tuple[int, int], tile: int, overlap: int, passes: int
) -> Iterator[tuple[Window, Tensor]]:
    """What `code` makes of every window in the last pass."""
    if tile < 1 or overlap < 0 or passes < 1:
        raise ValueError(
            f"tile and passes must be >= 1 and overlap >= 0, got tile={tile}, overlap={overlap}, passes={passes}; "
            "tile and overlap count cells, not pixels"
        )
    statistics = SharedStatistics(network)
    parts = list(windows(size, tile, overlap))
    if len(parts) == 1:
        yield parts[0], code(parts[0])
        return
    for _ in range(passes - 1 if statistics.norms else 0):
        for window in parts:
            with statistics.over(window):
                code(window)
        statistics.next_pass()
    for window in parts:
        with statistics.over(window):
            found = code(window)
        yield window, found


def _reach(start: int, size: int, tile: int, overlap: int) -> tuple[slice, slice]:
    """One axis of a window, and its core within it."""
    stop = min(start + tile, size)
    first, last = max(0, start - overlap), min(size, stop + overlap)
    return slice(first, last), slice(start - first, stop - first)


def _place(window: Window) -> tuple[slice, slice]:
    """The core's cells, as slices of the grid."""
    top, left = window.rows.start, window.columns.start
    return (
        slice(top + window.core_rows.start, top + window.core_rows.stop),
        slice(left + window.core_columns.start, left + window.core_columns.stop),
    )


def _size(window: Window) -> tuple[int, int]:
    return window.rows.stop - window.rows.start, window.columns.stop - window.columns.start


def _scaled(cells: slice, factor: int) -> slice:
    return slice(cells.start * factor, cells.stop * factor)
