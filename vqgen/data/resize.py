"""Bringing images of any size to one size: scale until it just covers, then cut."""

from jaxtyping import UInt8
from torch import Tensor


def resize_and_crop(
    images: UInt8[Tensor, "*b c H W"], size: tuple[int, int], *, place: tuple[float, float] = (0.5, 0.5)
) -> UInt8[Tensor, "*b c h w"]:
    """Scale images, keeping their proportions, until they just cover the size, and cut out what is asked for.

    Args:
        images: bytes, one image or several of the same size.
        size: (height, width) wanted, in pixels.
        place: where the cut lies along the height and the width, each in [0, 1]: 0.5 is the centre, 0 the top or left.

    Returns:
        Bytes of the wanted size.

    Example:
        >>> import torch
        >>> wide = torch.tensor([0, 50, 200, 250], dtype=torch.uint8).expand(1, 2, 4)
        >>> resize_and_crop(wide, (2, 2))[0, 0].tolist(), resize_and_crop(wide, (2, 2), place=(0.0, 1.0))[0, 0].tolist()
        ([50, 200], [200, 250])
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    height, width = images.shape[-2:]
    scale = max(size[0] / height, size[1] / width)
    scaled = [max(size[0], round(height * scale)), max(size[1], round(width * scale))]
    if scaled != [height, width]:
        images = functional.resize(images, scaled, interpolation=InterpolationMode.BICUBIC, antialias=True)
    top = round(place[0] * (scaled[0] - size[0]))
    left = round(place[1] * (scaled[1] - size[1]))
    return images[..., top : top + size[0], left : left + size[1]].contiguous()
