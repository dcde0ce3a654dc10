"""How far feature maps are from one another, as LPIPS measures it."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-8


def feature_distance(
    first: Iterable[Float[Tensor, "b _ _ _"]],
    second: Iterable[Float[Tensor, "b _ _ _"]],
    weights: Iterable[Float[Tensor, "_"]],
) -> Float[Tensor, "b"]:
    """Squared distance of channel vectors of unit length, weighted by channel, averaged over places, summed over taps.

    `sum_l mean_hw sum_c w_lc (a_lchw / |a_lhw| - b_lchw / |b_lhw|)^2`, in fp32 whatever the autocast. A vector of
    zeros (a plain area after a ReLU) stays zero, and its gradient stays finite.

    Args:
        first: feature maps (b, c_l, h_l, w_l) of some images.
        second: those of others, of the same shapes.
        weights: (c_l,) of each map, >= 0.

    Returns:
        (b,), >= 0.

    Example:
        >>> import torch
        >>> maps = [torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)], [torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)]
        >>> round(feature_distance(*maps, [torch.ones(2)]).item(), 4)  # (0.6 - 1)^2 + (0.8 - 0)^2
        0.8

    Source: Zhang et al., 1801.03924, equation 1.
    """
    distances = [
        ((_unit(a) - _unit(b)).square() * weight[:, None, None]).sum(1).mean((1, 2))
        for a, b, weight in zip(first, second, weights, strict=True)
    ]
    return sum(distances[1:], start=distances[0])


def _unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    features = features.float()
    return features * (features.square().sum(1, keepdim=True) + EPSILON).rsqrt()
