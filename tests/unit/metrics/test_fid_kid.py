"""FID and KID against their definitions."""

import pytest
import torch

from vqgen.metrics import set_distance


def two_sets(n: int = 60, m: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 6, generator=generator), torch.randn(m, 6, generator=generator) * 1.5 + 0.3


def frechet(x: torch.Tensor, y: torch.Tensor) -> float:
    """The definition, with the root of a symmetric matrix: tr (C C')^(1/2) = tr (C^(1/2) C' C^(1/2))^(1/2)."""
    first, second = torch.cov(x.double().T), torch.cov(y.double().T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ values.sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return float((x.double().mean(0) - y.double().mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross)


def discrepancy(x: torch.Tensor, y: torch.Tensor) -> float:
    """The unbiased estimate, pair by pair."""

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a.double() @ b.double() / len(a) + 1) ** 3)

    def within(z: torch.Tensor) -> float:
        pairs = [kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(across) / len(across)


def test_fid_is_the_frechet_distance_of_two_gaussians() -> None:
    x, y = two_sets()
    assert set_distance(x, y).fid == pytest.approx(frechet(x, y), rel=1e-6)


def test_kid_of_few_images_uses_each_of_them_once() -> None:
    x, y = two_sets(30, 30)
    distance = set_distance(x, y)
    assert distance.kid == pytest.approx(discrepancy(x, y), rel=1e-6)
    assert (distance.kid_subsets, distance.kid_subset_size, distance.kid_deviation) == (1, 30, 0.0)


def test_kid_of_unequal_numbers_is_a_mean_over_subsets_that_the_seed_draws() -> None:
    x, y = two_sets(60, 30)
    before = torch.get_rng_state()
    first, again, other = (set_distance(x, y, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again != other
    assert (first.kid_subsets, first.kid_subset_size) == (100, 30)
    assert first.kid_deviation > 0
    assert first.kid == pytest.approx(discrepancy(x, y), abs=first.kid_deviation)
    assert first.fid == other.fid


def test_equal_sets_have_no_distance_and_order_does_not_matter() -> None:
    x, _ = two_sets()
    assert set_distance(x, x.flip(0)).fid == pytest.approx(0, abs=1e-6)


def test_fid_has_more_images_than_kid_looks_at() -> None:
    x, y = torch.rand(1100, 2), torch.rand(1100, 2)
    assert set_distance(x, y).kid_subset_size == 1000


def test_a_single_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images on each side, got 1 and 50; raise the count"):
        set_distance(torch.rand(1, 6), torch.rand(50, 6))
