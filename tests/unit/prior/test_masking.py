import pytest
import torch

from vqgen.prior import MASKINGS, masked_counts


def test_uniform_counts_come_up_equally_often() -> None:
    counts = torch.cat([masked_counts(12, 6, "uniform", torch.Generator().manual_seed(seed)) for seed in range(50)])
    assert counts.bincount(minlength=7).tolist() == [0, *[100] * 6]  # of each batch of 12, two of each


def test_cosine_hides_two_thirds_on_average() -> None:
    counts = torch.cat([masked_counts(16, 1000, "cosine", torch.Generator().manual_seed(seed)) for seed in range(50)])
    assert counts.double().mean().item() == pytest.approx(1000 * 2 / torch.pi, abs=2.0)
    assert counts.min() >= 1
    assert counts.max() <= 1000


@pytest.mark.parametrize("masking", MASKINGS)
def test_counts_belong_to_the_generator(masking: str) -> None:
    first, again = (masked_counts(5, 100, masking, torch.Generator().manual_seed(3)) for _ in range(2))
    other = masked_counts(5, 100, masking, torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_unknown_masking_is_refused() -> None:
    with pytest.raises(ValueError, match="masking must be one of cosine, uniform, got 'half'"):
        masked_counts(2, 4, "half")
