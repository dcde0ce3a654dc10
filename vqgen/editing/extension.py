"""What is known, carried on into what is not: ring by ring from the edge."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

FILLS = ("edge", "mean")
"""How a hole can be filled before encoding."""


@dataclass(frozen=True)
class Extension:
    """Values everywhere, and how far each pixel is from where they were known.

    Attributes:
        values: (b, c, H, W), unchanged where known.
        distance: (b, H, W) int64, 0 where known, 1 in the ring of pixels around it, and so on; 0 everywhere in an image
            of which nothing is known.
    """

    values: Float[Tensor, "b c H W"]
    distance: Int[Tensor, "b H W"]


def extend(values: Float[Tensor, "b c H W"], known: Bool[Tensor, "b H W"]) -> Extension:
    """Carry values on from where they are known: each ring around takes the mean of its neighbours nearer by.

    What stands where nothing is known is never read.

    Args:
        values: (b, c, H, W), anything per pixel.
        known: (b, H, W).

    Returns:
        The values everywhere, 0 in an image of which nothing is known; and the distances.

    Example:
        >>> row = torch.tensor([[[[3.0, 9.0, 9.0]]]])
        >>> found = extend(row, torch.tensor([[[True, False, False]]]))
        >>> found.values.flatten().tolist(), found.distance.flatten().tolist()
        ([3.0, 3.0, 3.0], [0, 1, 2])
    """
    reached = known[:, None]  # (b, 1, H, W)
    filled = torch.where(reached, values, 0.0)
    distance = torch.zeros_like(known, dtype=torch.int64)
    ring = 0
    while not bool(reached.all()):
        # Sums over 3 x 3 pixels, of values and of how many of them are there.
        near = F.avg_pool2d(filled, 3, stride=1, padding=1)
        weight = F.avg_pool2d(reached.to(filled.dtype), 3, stride=1, padding=1)
        new = ~reached & (weight > 0)
        if not bool(new.any()):
            break
        ring += 1
        filled = torch.where(new, near / weight.clamp_min(1e-6), filled)
        distance[new[:, 0]] = ring
        reached = reached | new
    return Extension(filled, distance)


def fill_unknown(
    images: Float[Tensor, "b c H W"], known: Bool[Tensor, "b H W"], fill: str = "edge"
) -> Float[Tensor, "b c H W"]:
    """Put something into the hole that comes from outside it, so that an encoder can be run over the image.

    The codes of cells at the hole's edge depend on what the hole is filled with, as an encoder looks over the edge;
    none depends on what was in it. ``edge`` carries the colours at the edge on, which for these cells looks like more
    of the same; ``mean`` is the mean colour of the known pixels, which draws a border around the hole but is blind to
    what happens to lie at the edge.

    Args:
        images: (b, c, H, W) in [-1, 1].
        known: (b, H, W).
        fill: one of `FILLS`.

    Returns:
        (b, c, H, W): the known pixels as they are; mid grey in an image of which nothing is known.

    Raises:
        ValueError: for another fill.

    Example:
        >>> images, known = torch.tensor([[[[0.0, 0.5, 9.0]]]]), torch.tensor([[[True, True, False]]])
        >>> fill_unknown(images, known).flatten().tolist(), fill_unknown(images, known, "mean").flatten().tolist()
        ([0.0, 0.5, 0.5], [0.0, 0.5, 0.25])
    """
    if fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}")
    if fill == "edge":
        return extend(images, known).values
    there = known[:, None]
    total = torch.where(there, images, 0.0).sum(dim=(2, 3), keepdim=True)
    return torch.where(there, images, total / there.sum(dim=(2, 3), keepdim=True).clamp_min(1))
