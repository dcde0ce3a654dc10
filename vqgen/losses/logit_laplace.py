"""The reconstruction loss of DALL-E's discrete VAE: a likelihood of pixels that are bounded on both sides."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.losses.base import ImageLoss

EPSILON = 0.1
"""Pixels in [0, 1] are mapped into [epsilon, 1 - epsilon], where the density is finite."""
NEAREST_TO_EDGE = 1e-6
"""How near the reconstruction may come to 0 or 1 before its logit is held."""


class LogitLaplaceLoss(ImageLoss):
    """Negative log-likelihood of the pixels under a logit-Laplace distribution, in nats per pixel and channel.

    With x in (0, 1) the pixel after the map `x = (1 - 2 epsilon) p + epsilon` of p in [0, 1], epsilon = 0.1, mu the
    logit of the reconstruction after the same map, and b the scale,
    `-log f(x) = log(2 b x (1 - x)) + |logit(x) - mu| / b`.
    An L1 or L2 loss stands for a distribution over all real numbers; this one is over the values a pixel can have.

    The scale is the decoder's where it says one for each pixel (`DVAEDecoder.distribution`). Without, it is the one
    that fits the batch best, `b = mean |logit(x) - mu|`, so that the loss works for every decoder.

    Example:
        >>> import torch
        >>> loss = LogitLaplaceLoss()
        >>> images = torch.zeros(1, 3, 8, 8)
        >>> round(loss(images, images, log_scale=torch.zeros(1, 3, 8, 8)).item(), 4)  # log(2 / 4)
        -0.6931

    Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), appendix A.3; the best scale of a batch,
        Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders (2006.13202), section 3.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(
        self,
        reconstructions: Float[Tensor, "b c H W"],
        images: Float[Tensor, "b c H W"],
        log_scale: Float[Tensor, "b c H W"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare.

        Args:
            reconstructions: (b, c, H, W), about [-1, 1]; beyond 1.25 they are held and have no gradient.
            images: (b, c, H, W) in [-1, 1].
            log_scale: (b, c, H, W), ln b of each pixel; None takes the scale that fits the batch best.

        Returns:
            The mean over all elements, a scalar, fp32 whatever the autocast. It may be negative: it is a density's.
        """
        target = _unit(images.float())
        location = torch.logit(_unit(reconstructions.float()), eps=NEAREST_TO_EDGE)
        error = (torch.logit(target) - location).abs()
        if log_scale is None:
            log_scale = error.mean().clamp(min=NEAREST_TO_EDGE).log()
        else:
            log_scale = log_scale.float()
        jacobian = (target * (1 - target)).log()
        return (math.log(2) + log_scale + jacobian + error * (-log_scale).exp()).mean()


def _unit(pixels: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    """[-1, 1] -> [epsilon, 1 - epsilon]."""
    return 0.5 + (0.5 - EPSILON) * pixels
