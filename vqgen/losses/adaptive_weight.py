"""The weight that makes reconstruction and discriminator pull equally hard."""

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.quantizers.processes import mean_over_processes

EPSILON = 1e-6


def adaptive_weight(
    decoded: Float[Tensor, "b c H W"],
    reconstruction_pull: Float[Tensor, "b c H W"],
    adversarial_pull: Float[Tensor, "b c H W"],
    last_layer: Float[Tensor, "..."],
    maximum: float = 1e4,
) -> Float[Tensor, ""]:
    """`|d L_reconstruction / d w| / (|d L_adversarial / d w| + 1e-6)`, w being the decoder's last layer, clamped.

    It takes the losses' gradients with respect to the decoded images, so that each loss is differentiated once for the
    weight and for the training step together. With several processes the gradients are averaged first, so that all of
    them use the weight of the whole batch.

    Args:
        decoded: (b, c, H, W), what the last layer gave; its graph is kept.
        reconstruction_pull: gradient of the reconstruction loss (pixels and perceptual) with respect to `decoded`.
        adversarial_pull: gradient of the generator's adversarial loss with respect to `decoded`.
        last_layer: the weight of the decoder's last layer.
        maximum: what it is clamped to, > 0.

    Returns:
        The weight, a scalar in [0, maximum], without gradient.

    Example:
        >>> layer = torch.nn.Conv2d(4, 3, 1)
        >>> decoded = layer(torch.randn(2, 4, 8, 8))
        >>> adversarial = torch.randn(2, 3, 8, 8)
        >>> round(adaptive_weight(decoded, 3 * adversarial, adversarial, layer.weight).item(), 3)
        3.0

    Source: VQGAN (2012.09841), equation 7.
    """
    gradients = torch.stack(
        [
            torch.autograd.grad(decoded, last_layer, pull.to(decoded.dtype), retain_graph=True)[0].float().flatten()
            for pull in (reconstruction_pull, adversarial_pull)
        ]
    )
    reconstruction, adversarial = mean_over_processes(gradients).norm(dim=1)
    return (reconstruction / (adversarial + EPSILON)).clamp(max=maximum)
