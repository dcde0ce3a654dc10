"""Drawing the masked part of images anew."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.editing.blending import blend as blend_seam
from vqgen.editing.completion import complete_codes
from vqgen.editing.completion_masked import complete_masked
from vqgen.editing.extension import fill_unknown
from vqgen.editing.larger import complete_larger
from vqgen.editing.masks import grid_mask
from vqgen.orders import ScanOrder
from vqgen.prior import MaskedPrior, Prior
from vqgen.tokenizer import Tokenizer, decode_tiled, encode_tiled

BLENDS = ("feather", "paste", "none")
"""What happens at the edge of the hole, see `inpaint`."""


@torch.no_grad()
def inpaint(
    tokenizer: Tokenizer,
    prior: Prior | MaskedPrior,
    images: Float[Tensor, "b c H W"],
    mask: Bool[Tensor, "..."],
    order: ScanOrder,
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    own: ScanOrder | None = None,
    by_confidence: str | None = None,
    steps: int | None = None,
    margin: int = 0,
    fill: str = "edge",
    blend: str = "feather",
    seed: int = 0,
    batch_size: int = 64,
    **sampling: Any,
) -> Float[Tensor, "b c H W"]:
    """Draw what a mask hides, given the rest.

    The hole is filled from outside before the image is encoded, so that nothing of what was in it gets into a code.
    Codes of cells without an unknown pixel are kept, the others are drawn, and the decoder's picture gets its known
    pixels back.

    Args:
        tokenizer: on any device.
        prior: that models its codes, on the same device; one that is masked takes no order and windows are not for it.
        images: (b, c, H, W) in [-1, 1]; of the trained size, or larger and then drawn in windows (`plan_windows`).
        mask: (b, H, W), or (H, W) for all, True where a pixel is unknown; unknown pixels are not read.
        order: of the images' grid: the known cells come first in it, then the unknown ones.
        condition: (b,) int64 labels, -1 for none; or None.
        own: the one order the prior knows, None if it takes any.
        by_confidence: let the prior choose the order of the unknown cells, see `complete_codes`; for images of the
            trained size.
        steps: in how many steps to draw, see `complete_codes`; for images of the trained size.
        margin: cells around the hole that are drawn anew too, see `grid_mask`.
        fill: what the hole is filled with before encoding, ``edge`` or ``mean``, see `fill_unknown`.
        blend: ``feather`` keeps the known pixels exactly and lets the decoder's error fade out over half a cell on the
            unknown side (`vqgen.editing.blend`); ``paste`` keeps them with a hard edge; ``none`` shows what the decoder
            made, everywhere.
        seed: of the randomness: image i depends on (seed, i), its known pixels, mask and condition.
        batch_size: how many are encoded, drawn and decoded at a time at most.
        sampling: temperature, top_k, top_p and guidance, as in `sample_autoregressive`.

    Returns:
        (b, c, H, W) in [-1, 1], on the CPU.

    Raises:
        ValueError: if mask or images do not fit, an argument is out of range, or the prior's own order does not allow
            it.
    """
    if blend not in BLENDS:
        raise ValueError(f"blend must be one of {', '.join(BLENDS)}, got {blend!r}")
    trained = (order.height, order.width) == (prior.height, prior.width)
    for name, value in {"steps": steps, "by_confidence": by_confidence}.items():
        if value is not None and not trained:
            raise ValueError(
                f"{name} is for images of the trained size, got {value!r} for a grid of {order.height} x {order.width} "
                f"cells and a prior of {prior.height} x {prior.width}; leave it out, windows are drawn one cell a step "
                "in the order of the grid"
            )
    if isinstance(prior, MaskedPrior) and not trained:
        raise ValueError(
            f"a masked prior draws grids of its own size, {prior.height} x {prior.width} cells, got images of "
            f"{order.height} x {order.width}; cut them, or use a prior that draws in an order"
        )
    images, unknown = images.cpu(), _mask_of(images, mask)
    filled = fill_unknown(images, ~unknown, fill)
    device = next(tokenizer.parameters()).device
    encode, decode = (
        (tokenizer.encode, tokenizer.decode)
        if trained
        else (
            partial(encode_tiled, tokenizer),
            partial(decode_tiled, tokenizer),
        )
    )
    codes = torch.cat([encode(part.to(device)) for part in torch.split(filled, batch_size)])
    hidden = grid_mask(unknown, downsampling=tokenizer.downsampling, margin=margin, depth=tokenizer.depth).to(device)
    together: dict[str, Any] = {"seed": seed, "batch_size": batch_size, **sampling}
    if isinstance(prior, MaskedPrior):
        codes = complete_masked(prior, codes, hidden, condition, steps=steps, **together)
    elif trained:
        together |= {"fixed": own is not None, "by_confidence": by_confidence, "steps": steps}
        codes = complete_codes(prior, codes, hidden, order, condition, **together)
    else:
        codes = complete_larger(prior, codes, hidden, order, condition, own=own, depth=tokenizer.depth, **together)
    drawn = torch.cat([decode(part) for part in torch.split(codes, batch_size)]).cpu()
    if blend == "none":
        return drawn
    width = max(1, tokenizer.downsampling // 2) if blend == "feather" else 0
    return blend_seam(drawn, images, ~unknown, width=width)


def canvas_around(
    images: Float[Tensor, "b c H W"], *, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0
) -> tuple[Float[Tensor, "b c H_ W_"], Bool[Tensor, "H_ W_"]]:
    """Put images on a larger canvas, and say which of it is to be drawn.

    Args:
        images: (b, c, H, W).
        top: rows of pixels above, >= 0.
        bottom: rows below, >= 0.
        left: columns to the left, >= 0.
        right: columns to the right, >= 0.

    Returns:
        The images on the canvas, mid grey around them, and the mask, True around them.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> canvas, mask = canvas_around(torch.ones(1, 3, 4, 4), right=2)
        >>> canvas.shape, mask[0].tolist()
        (torch.Size([1, 3, 4, 6]), [False, False, False, False, True, True])
    """
    if min(top, bottom, left, right) < 0:
        raise ValueError(
            f"top, bottom, left and right must be >= 0, got {top}, {bottom}, {left} and {right}; "
            "they count the pixels to add on each side"
        )
    around = (left, right, top, bottom)
    mask = torch.zeros(images.shape[2:], dtype=torch.bool)
    return torch.nn.functional.pad(images, around), torch.nn.functional.pad(mask, around, value=True)


def _mask_of(images: Tensor, mask: Tensor) -> Bool[Tensor, "b H W"]:
    """One mask an image, on the CPU."""
    b, _, H, W = images.shape
    if mask.shape not in ((H, W), (b, H, W)):
        raise ValueError(
            f"expected a mask of shape ({H}, {W}), or ({b}, {H}, {W}) with one for each image, got "
            f"{tuple(mask.shape)}; it has a value for every pixel, True where the image is unknown"
        )
    return mask.cpu().expand(b, H, W)
