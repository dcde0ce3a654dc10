"""The nearest search against a naive loop, and its bounded blocks."""

import pytest
import torch

from vqgen.quantizers import nearest_codes


@pytest.mark.parametrize("block_elements", [1, 50, 10_000])
def test_nearest_codes_equals_a_naive_search(block_elements):
    torch.manual_seed(0)
    latents, codebook = torch.randn(33, 5), torch.randn(17, 5)
    expected = [min(range(17), key=lambda k: float((row - codebook[k]).square().sum())) for row in latents]
    assert nearest_codes(latents, codebook, block_elements).tolist() == expected


def test_nearest_codes_never_holds_more_scores_than_allowed(monkeypatch):
    sizes = []
    original = torch.addmm

    def spy(bias, block, transposed):
        result = original(bias, block, transposed)
        sizes.append(result.numel())
        return result

    monkeypatch.setattr(torch, "addmm", spy)
    nearest_codes(torch.randn(1024, 8), torch.randn(512, 8), block_elements=4096)
    assert max(sizes) <= 4096
    assert sum(sizes) == 1024 * 512
