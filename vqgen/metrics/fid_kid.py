"""How far two sets of images are apart in the space of a network's features: FID and KID."""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000


@dataclass(frozen=True)
class SetDistance:
    """Distances between two sets of images.

    Attributes:
        fid: Fréchet distance of the two Gaussians that fit the features; biased upwards, the more the fewer the images.
        kid: squared maximum mean discrepancy under a cubic kernel; unbiased, so it may be slightly below 0.
        kid_deviation: standard deviation of `kid` over its subsets; 0 when one subset holds everything.
        kid_subsets: how many random subsets `kid` is the mean of.
        kid_subset_size: images in each.
    """

    fid: float
    kid: float
    kid_deviation: float
    kid_subsets: int
    kid_subset_size: int


def set_distance(reference: Float[Tensor, "n d"], features: Float[Tensor, "m d"], *, seed: int = 0) -> SetDistance:
    """Compare features of images with those of a reference set, from one and the same network.

    ``FID = ||mu - mu'||^2 + tr(C + C' - 2 (C C')^(1/2))`` of the means and covariances. KID is computed on random
    subsets of 1,000 images, or on everything once where there are no more. With fewer images than features, covariances
    do not have full rank: compare such FIDs at one and the same number of images only, or take KID.

    Args:
        reference: (n, d) features of the reference images, n >= 2.
        features: (m, d) features of the images to judge, m >= 2.
        seed: draws the subsets.

    Returns:
        FID and KID.

    Raises:
        ValueError: if there are fewer than two images on a side.

    Example:
        >>> features = torch.randn(64, 4)
        >>> distance = set_distance(features, features + 1.0)  # moved by 1 in each of 4 directions
        >>> round(distance.fid, 3)
        4.0

    Source: FID, 1706.08500 section 2; KID, 1801.01401 section 4.
    """
    fewest = min(len(reference), len(features))
    if fewest < 2:
        raise ValueError(
            f"FID and KID need at least 2 images on each side, got {len(reference)} and {len(features)}; "
            "raise the count"
        )
    width = _AsTheyAre(reference.shape[1])
    size = min(KID_SUBSET_SIZE, fewest)
    subsets = KID_SUBSETS if max(len(reference), len(features)) > size else 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        fid = FrechetInceptionDistance(feature=width)
        kid = KernelInceptionDistance(feature=width, subsets=subsets, subset_size=size)
    for metric in (fid, kid):
        metric.update(reference.double(), real=True)
        metric.update(features.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = kid.compute()
    return SetDistance(
        fid=fid.compute().item(),
        kid=mean.item(),
        kid_deviation=deviation.item(),
        kid_subsets=subsets,
        kid_subset_size=size,
    )


class _AsTheyAre(nn.Module):
    """In place of a network: torchmetrics takes the features that were computed before."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return features
