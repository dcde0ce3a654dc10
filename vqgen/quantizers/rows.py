"""Grids of latents as rows of vectors and back, and the checks that every quantizer makes."""

from jaxtyping import Float, Int
from torch import Tensor


def to_rows(latents: Float[Tensor, "b d h w"], dim: int) -> Float[Tensor, "n d"]:
    """Latents in fp32, one row a cell.

    Args:
        latents: (b, d, h, w), any float type.
        dim: the width that is expected.

    Returns:
        (b * h * w, d) fp32.

    Raises:
        ValueError: if the latents are wider or narrower.

    Example:
        >>> import torch
        >>> to_rows(torch.zeros(2, 4, 3, 5), 4).shape
        torch.Size([30, 4])
    """
    if latents.shape[1] != dim:
        raise ValueError(f"expected latents of width {dim}, got {latents.shape[1]}; match the encoder and dim")
    return latents.float().movedim(1, -1).reshape(-1, dim)  # (b, d, h, w) -> (b*h*w, d)


def to_grid(rows: Float[Tensor, "n d"], like: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """Rows of vectors laid out as the latents they came from.

    Args:
        rows: (b * h * w, d).
        like: latents (b, d, h, w) whose layout to take.

    Returns:
        (b, d, h, w).
    """
    b, d, h, w = like.shape
    return rows.view(b, h, w, d).movedim(-1, 1)


def check_codes(codes: Int[Tensor, "b rows w"], codebook_size: int) -> None:
    """Refuse codes that are not of this codebook.

    Args:
        codes: (b, rows, w).
        codebook_size: number of codes k.

    Raises:
        ValueError: if a code is below 0, or k or above.
    """
    if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < codebook_size):
        raise ValueError(
            f"codes must be in [0, {codebook_size}), got {int(codes.min())} to {int(codes.max())}; "
            "do they come from another tokenizer?"
        )
