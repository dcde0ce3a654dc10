"""What lies around each cell of a condition."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvolutionalContext(nn.Module):
    """Lets each cell of a condition see its surroundings, by dilated 3 x 3 convolutions.

    Layer i adds ``W_out silu(conv_{2^i}(norm(x)))``, where the convolution reaches 2^i cells to every side; together
    the layers reach 2^depth - 1 cells, 7 with the three that suit a grid of 8 x 8. As built they add nothing.

    Args:
        dim: width of the prior, d.
        depth: number of layers, >= 1.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> ConvolutionalContext(8, depth=2)(torch.zeros(2, 8, 4, 5)).shape
        torch.Size([2, 8, 4, 5])

    Source: dilated convolutions, Yu and Koltun, Multi-Scale Context Aggregation (1511.07122), section 2.
    """

    def __init__(self, dim: int, depth: int = 3) -> None:
        super().__init__()
        if dim < 1 or depth < 1:
            raise ValueError(f"dim and depth must be >= 1, got dim={dim}, depth={depth}; pass context=None for none")
        self.dim = dim
        self.depth = depth
        self.reach = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=2**i, dilation=2**i) for i in range(depth))
        self.out = nn.ModuleList(nn.Conv2d(dim, dim, 1, bias=False) for _ in range(depth))
        for layer in self.out:
            assert isinstance(layer, nn.Conv2d)
            nn.init.zeros_(layer.weight)

    def forward(self, cells: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """Add to each cell what the layers see around it.

        Args:
            cells: (b, d, h, w) one vector a cell.

        Returns:
            The same shape.
        """
        for reach, out in zip(self.reach, self.out, strict=True):
            normalised = F.layer_norm(cells.permute(0, 2, 3, 1), (self.dim,)).permute(0, 3, 1, 2)
            cells = cells + out(F.silu(reach(normalised)))
        return cells
