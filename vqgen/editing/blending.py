"""The known pixels back over what the decoder drew, without a visible seam."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vqgen.editing.extension import extend


def blend(
    drawn: Float[Tensor, "b c H W"], images: Float[Tensor, "b c H W"], known: Bool[Tensor, "b H W"], *, width: int
) -> Float[Tensor, "b c H W"]:
    """Keep the known pixels exactly, and let the decoder's error at the edge fade out in the hole.

    A decoder restores the known side with an error, ``images - drawn``, and goes on with the same error in the hole:
    putting the originals back over it would show as a step. So the error along the edge is carried on into the hole,
    fading linearly, ``drawn + (1 - distance / (width + 1)) * error``: no step at the edge, the drawn picture unchanged
    from `width` pixels on.

    Args:
        drawn: (b, c, H, W) in [-1, 1], from the decoder.
        images: (b, c, H, W) in [-1, 1]; read where known only.
        known: (b, H, W).
        width: of the seam in pixels, on the unknown side; 0 puts the originals back and nothing else.

    Returns:
        (b, c, H, W) in [-1, 1].

    Raises:
        ValueError: if the width is negative.

    Example:
        >>> drawn, images = torch.zeros(1, 1, 1, 5), torch.full((1, 1, 1, 5), 0.9)
        >>> known = torch.tensor([[[True, True, False, False, False]]])
        >>> [round(value, 2) for value in blend(drawn, images, known, width=2).flatten().tolist()]
        [0.9, 0.9, 0.6, 0.3, 0.0]

    Source: the idea of Perez et al., Poisson Image Editing (SIGGRAPH 2003), with a fade in place of a solver.
    """
    if width < 0:
        raise ValueError(f"width must be >= 0, got {width}; it is the seam's, in pixels")
    there = known[:, None]
    if width == 0:
        return torch.where(there, images, drawn)
    error = extend(images - drawn, known)
    weight = (1.0 - error.distance / (width + 1)).clamp_min(0.0)[:, None].to(drawn.dtype)
    return torch.where(there, images, (drawn + weight * error.values).clamp(-1, 1))
