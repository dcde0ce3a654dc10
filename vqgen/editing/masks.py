"""From a mask over pixels to a mask over the cells of the code grid."""

from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from vqgen.tokenizer.tokenizer import grid_size


def grid_mask(
    mask: Bool[Tensor, "b H W"], *, downsampling: int, margin: int = 0, depth: int = 1
) -> Bool[Tensor, "b h w"]:
    """Say which cells have to be drawn: those of which any pixel is unknown.

    Args:
        mask: (b, H, W), True where a pixel is unknown.
        downsampling: pixels per side of a cell, the tokenizer's; divides H and W.
        margin: so many cells around the unknown ones count as unknown as well, diagonally too. An encoder looks over a
            cell's edge, so the code of a cell beside the hole has seen what the hole was filled with; a margin draws
            such cells anew.
        depth: codes a cell, the tokenizer's; all codes of a cell are known, or none.

    Returns:
        (b, h, w), True where a code is unknown.

    Raises:
        ValueError: if the margin is negative, or the mask's size is not divisible by the downsampling.

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 4, 6, dtype=torch.bool)
        >>> mask[0, 1, 4] = True  # one pixel
        >>> grid_mask(mask, downsampling=2).long().tolist()
        [[[0, 0, 1], [0, 0, 0]]]
        >>> grid_mask(mask, downsampling=2, margin=1).long().tolist()
        [[[0, 1, 1], [0, 1, 1]]]
    """
    if margin < 0:
        raise ValueError(f"margin must be >= 0, got {margin}; it counts cells around the hole that are drawn anew")
    grid_size((mask.shape[1], mask.shape[2]), downsampling)
    unknown = F.max_pool2d(mask[:, None].float(), downsampling)  # (b, 1, H, W) -> (b, 1, h, w)
    if margin:
        unknown = F.max_pool2d(unknown, 2 * margin + 1, stride=1, padding=margin)
    return (unknown[:, 0] > 0).repeat(1, depth, 1)
