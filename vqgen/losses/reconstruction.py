"""How far a reconstruction is from its image, pixel by pixel."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.losses.base import ImageLoss


class ReconstructionLoss(ImageLoss):
    """Weighted sum of the mean absolute and the mean squared error.

    `l1 * mean|x - y| + l2 * mean (x - y)^2`, in fp32 whatever the autocast. L2 is what PSNR measures; L1 keeps edges
    sharper. VQGAN (2012.09841) uses L1, VQ-VAE (1711.00937) L2.

    Args:
        l1: weight of the mean absolute error, >= 0.
        l2: weight of the mean squared error, >= 0.

    Raises:
        ValueError: if a weight is negative or both are zero.

    Example:
        >>> import torch
        >>> loss = ReconstructionLoss(l1=1.0, l2=1.0)
        >>> loss(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)).item()
        0.75
    """

    def __init__(self, l1: float = 1.0, l2: float = 1.0) -> None:
        super().__init__()
        if l1 < 0 or l2 < 0 or l1 + l2 == 0:
            raise ValueError(f"l1 and l2 must be >= 0 and not both 0, got l1={l1}, l2={l2}")
        self.l1 = l1
        self.l2 = l2

    def forward(self, reconstructions: Float[Tensor, "b c H W"], images: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
        """Compare.

        Args:
            reconstructions: (b, c, H, W).
            images: (b, c, H, W) in [-1, 1].

        Returns:
            The loss, a scalar.
        """
        reconstructions, images = reconstructions.float(), images.float()
        loss = images.new_zeros(())
        if self.l1:
            loss = loss + self.l1 * F.l1_loss(reconstructions, images)
        if self.l2:
            loss = loss + self.l2 * F.mse_loss(reconstructions, images)
        return loss
