"""What every comparison of reconstructions with their images is."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class ImageLoss(nn.Module, ABC):
    """Base of the losses that compare reconstructions with their images."""

    @abstractmethod
    def forward(self, reconstructions: Float[Tensor, "b c H W"], images: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
        """Reconstructions and images (b, c, H, W) in [-1, 1] -> a scalar, 0 at best."""
