"""The nearest codebook vector of each latent, in bounded memory."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_ELEMENTS = 4 * 1024 * 1024


@torch.no_grad()
def nearest_codes(
    latents: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], block_elements: int = BLOCK_ELEMENTS
) -> Int[Tensor, "n"]:
    """Index of the codebook vector nearest to each latent in Euclidean distance.

    `argmin_k ||z - e_k||^2 = argmax_k (z . e_k - ||e_k||^2 / 2)`, so that one matrix product per block of rows decides.
    A block never holds more than `block_elements` scores: 16 MiB in fp32, whatever n and k are.

    Args:
        latents: (n, d) fp32.
        codebook: (k, d) fp32.
        block_elements: the most scores held at a time, >= 1; a block has at least one row.

    Returns:
        (n,) int64 in [0, k); of equally near vectors, one of them.

    Example:
        >>> nearest_codes(torch.tensor([[0.9], [0.1]]), torch.tensor([[0.0], [1.0]])).tolist()
        [1, 0]
    """
    rows = max(1, block_elements // codebook.shape[0])
    half_squares = codebook.square().sum(1).mul_(-0.5)
    transposed = codebook.t()
    codes = torch.empty(latents.shape[0], dtype=torch.int64, device=latents.device)
    for start in range(0, latents.shape[0], rows):
        block = latents[start : start + rows]
        codes[start : start + rows] = torch.addmm(half_squares, block, transposed).argmax(1)
    return codes
