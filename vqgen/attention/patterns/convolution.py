"""Attention within a square around each cell, as a convolution looks at an image."""

from jaxtyping import Bool, Int
from torch import Tensor

from vqgen.attention.pattern import Pattern


class Convolution(Pattern):
    """A query sees the cells in a square around it, at most ``kernel_size // 2`` rows and columns away.

    Args:
        kernel_size: side of the square, odd, >= 1.
        kernel: see `Pattern`.

    Raises:
        ValueError: when the size is even or below 1.

    Example:
        >>> Convolution(kernel_size=3).table(height=3, width=4)[5].view(3, 4).int()
        tensor([[1, 1, 1, 0],
                [1, 1, 1, 0],
                [1, 1, 1, 0]], dtype=torch.int32)

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), appendix B.1, the convolutional mask of the
    last layer, there of size 11.
    """

    def __init__(self, *, kernel_size: int = 11, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and >= 1, got {kernel_size}; a square has a cell in its middle")
        self.kernel_size = kernel_size

    def allowed(
        self, query: Int[Tensor, "*#places"], key: Int[Tensor, "*#places"], *, height: int, width: int
    ) -> Bool[Tensor, "*places"]:
        """Keys at most half the size away in both directions."""
        reach = self.kernel_size // 2
        rows, columns = query // width - key // width, query % width - key % width
        return (rows.abs() <= reach) & (columns.abs() <= reach)
