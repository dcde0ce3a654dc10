"""R1: a discriminator that is flat around real images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def r1_penalty(discriminator: nn.Module, images: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
    """`1/2 E |d D(x) / d x|^2` at real images, D being the mean logit over patches; in fp32 whatever the autocast.

    Args:
        discriminator: images to logits; one whose normalisation does not mix the images of a batch.
        images: (b, c, H, W), real ones.

    Returns:
        The penalty, a scalar >= 0 with gradients to the discriminator.

    Example:
        >>> linear = nn.Conv2d(1, 1, 1)  # its mean logit has gradient w / (H W) at each pixel
        >>> _ = nn.init.constant_(linear.weight, 8.0)
        >>> r1_penalty(linear, torch.zeros(2, 1, 2, 2)).item()  # 1/2 * 4 pixels * (8 / 4)^2
        8.0

    Source: Mescheder et al., Which training methods for GANs do actually converge? (1801.04406), equation 9.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_()
        logits = discriminator(images).flatten(1).mean(1)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()
