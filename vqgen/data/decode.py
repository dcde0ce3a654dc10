"""From an image file, or a Pillow image, to bytes: orientation, transparency and grey levels settled."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

Channels = Literal[1, 3]


def decode_file(path: Path, channels: Channels = 3, *, enough: tuple[int, int] | None = None) -> UInt8[Tensor, "c H W"]:
    """Read an image file.

    Args:
        path: the file, in any format Pillow reads.
        channels: 3 for colour (grey images are repeated), 1 for grey (coloured images are weighed to luma).
        enough: (H, W) that is large enough; a JPEG more than twice as large is decoded at a half, quarter or eighth
            of its size, which is several times as fast. None decodes at full size.

    Returns:
        Bytes, 0 black to 255 white, turned the way the camera was held.

    Raises:
        ValueError: if the file is no image, or is broken or truncated; the message names it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (4, 2), "red").save(path)
        >>> decode_file(path).shape, decode_file(path)[:, 0, 0].tolist()
        (torch.Size([3, 2, 4]), [255, 0, 0])
    """
    try:
        with Image.open(path) as image:
            if enough is not None:
                image.draft(None, (2 * max(enough), 2 * max(enough)))
            return decode_image(image, channels)
    # Pillow's readers of broken files raise nearly anything: OSError, SyntaxError, ValueError, struct.error ...
    except Exception as error:
        raise ValueError(f"cannot read the image {path}: {type(error).__name__}: {error}") from error


def decode_image(image: Image.Image, channels: Channels = 3) -> UInt8[Tensor, "c H W"]:
    """Turn a Pillow image into bytes; transparent parts become white.

    Args:
        image: in any mode.
        channels: 3 for colour, 1 for grey.

    Returns:
        Bytes, 0 black to 255 white.

    Example:
        >>> decode_image(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), channels=1)
        tensor([[[255]]], dtype=torch.uint8)
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would clip at 255
        levels = np.clip(np.asarray(image), 0, 65535) // 257
        image = Image.fromarray(levels.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    pixels = np.array(image)  # (H, W, 3) or (H, W)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy() if channels == 3 else pixels[None])
