"""The building blocks of the ViT tokenizer: positions on a grid of any size, and a bidirectional Transformer block."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 10_000.0
"""Ratio between the longest and the shortest wavelength of the position signal."""


def grid_positions(height: int, width: int, dim: int, *, device: torch.device | None = None) -> Float[Tensor, "n d"]:
    """Sines and cosines of row and column: a position signal without parameters, for a grid of any size.

    A quarter of the features each holds `sin(row f)`, `cos(row f)`, `sin(column f)`, `cos(column f)` for frequencies f
    from 1 down to 1 / 10,000.

    Args:
        height: rows of the grid, >= 1.
        width: columns of the grid, >= 1.
        dim: features, divisible by 4.
        device: where to make it.

    Returns:
        (height * width, dim) fp32 in [-1, 1], cells in raster order.

    Raises:
        ValueError: if the features do not divide by 4.

    Example:
        >>> grid_positions(1, 2, 4).round(decimals=2).tolist()  # rows 0 and 0, columns 0 and 1
        [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.8399999737739563, 0.5400000214576721]]

    Source: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers (2104.02057), section 4.
    """
    if dim % 4:
        raise ValueError(f"the position signal needs a width divisible by 4, got dim={dim}; take the next multiple")
    frequencies = BASE ** (-torch.arange(dim // 4, device=device, dtype=torch.float32) / (dim // 4))
    rows = torch.arange(height, device=device)[:, None] * frequencies  # (h, d / 4)
    columns = torch.arange(width, device=device)[:, None] * frequencies  # (w, d / 4)
    by_row = torch.cat((rows.sin(), rows.cos()), dim=1)[:, None].expand(height, width, dim // 2)
    by_column = torch.cat((columns.sin(), columns.cos()), dim=1)[None].expand(height, width, dim // 2)
    return torch.cat((by_row, by_column), dim=2).reshape(height * width, dim)


class ViTBlock(nn.Module):
    """A pre-norm Transformer block in which every place sees every place.

    `x + attention(norm(x))`, then `x + W2 gelu(W1 norm(x))` with an inner width of 4 d.

    Args:
        dim: width d.
        heads: attention heads; divides d.
        dropout: of what is added, in [0, 1).

    Example:
        >>> ViTBlock(8, heads=2)(torch.zeros(1, 6, 8)).shape
        torch.Size([1, 6, 8])

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words (2010.11929), equations 2 and 3.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, places: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) -> (b, n, d)."""
        b, n, d = places.shape
        mixed = self.query_key_value(self.attention_norm(places)).view(b, n, 3, self.heads, d // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)  # (b, n, 3, heads, e) -> 3 of (b, heads, n, e)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(b, n, d)
        places = places + self.dropout(self.output(attended))
        inner = F.gelu(self.widen(self.feed_forward_norm(places)))
        return places + self.dropout(self.narrow(inner))


class ViTTrunk(nn.Module):
    """Positions, Transformer blocks and a last norm, over a grid of features.

    Args:
        dim: width d.
        depth: number of blocks.
        heads: attention heads; divides d.
        dropout: in the blocks.

    Raises:
        ValueError: if a size is out of range or the heads do not divide the width.

    Example:
        >>> ViTTrunk(8, depth=1, heads=2)(torch.zeros(1, 8, 3, 5)).shape
        torch.Size([1, 8, 3, 5])
    """

    def __init__(self, dim: int, depth: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 1 or heads < 1 or dim < 4 or dim % heads or dim % 4:
            raise ValueError(
                "depth and heads must be >= 1 and the width a multiple of 4 and of heads, got "
                f"width={dim}, depth={depth}, heads={heads}"
            )
        self.blocks = nn.ModuleList(ViTBlock(dim, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, grid: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """(b, d, h, w) -> (b, d, h, w)."""
        b, d, h, w = grid.shape
        positions = grid_positions(h, w, d, device=grid.device).to(grid.dtype)
        places = grid.flatten(2).transpose(1, 2) + positions  # (b, d, h, w) -> (b, h*w, d)
        for block in self.blocks:
            places = block(places)
        return self.norm(places).transpose(1, 2).reshape(b, d, h, w)
