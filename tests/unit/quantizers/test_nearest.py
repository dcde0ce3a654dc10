"""The nearest search against a naive loop, and its bounded blocks."""

import pytest
import torch

from vqgen import processor
from vqgen.quantizers import nearest_codes
from vqgen.quantizers.nearest import row_argmax


@pytest.mark.parametrize("block_elements", [1, 50, 10_000])
def test_nearest_codes_equals_a_naive_search(block_elements):
    torch.manual_seed(0)
    latents, codebook = torch.randn(33, 5), torch.randn(17, 5)
    expected = [min(range(17), key=lambda k: float((row - codebook[k]).square().sum())) for row in latents]
    assert nearest_codes(latents, codebook, block_elements).tolist() == expected


@pytest.mark.parametrize("intel", [True, False])
@pytest.mark.parametrize("laid_out", ["in rows", "in columns"])
def test_whichever_library_multiplies_finds_the_same(intel, laid_out, monkeypatch):
    monkeypatch.setattr(processor, "processor_is_intel", lambda: intel)
    torch.manual_seed(0)
    latents, codebook = torch.randn(100, 48), torch.randn(300, 48)
    expected = torch.cdist(latents.double(), codebook.double()).argmin(1)
    if laid_out == "in columns":
        latents, codebook = (tensor.t().contiguous().t() for tensor in (latents, codebook))
    assert torch.equal(nearest_codes(latents, codebook, block_elements=7000), expected)
    assert nearest_codes(latents[:0], codebook).tolist() == []


def test_nearest_codes_never_holds_more_scores_than_allowed(monkeypatch):
    sizes = []
    original = torch.mm

    def spy(*arguments, **options):
        result = original(*arguments, **options)
        sizes.append(result.numel())
        return result

    monkeypatch.setattr(torch, "mm", spy)
    nearest_codes(torch.randn(1024, 8), torch.randn(512, 8), block_elements=4096)
    assert max(sizes) <= 4096
    assert sum(sizes) == 1024 * 512


@pytest.mark.parametrize("width", [1, 7, 16, 24, 96, 128, 384, 1000, 1024])
def test_row_argmax_is_argmax(width):
    scores = torch.randn(50, width, generator=torch.Generator().manual_seed(width))
    assert torch.equal(row_argmax(scores), scores.argmax(1))


def test_row_argmax_of_equals_is_one_of_them():
    scores = torch.zeros(3, 256)
    scores[:, [5, 77, 200]] = 1.0
    assert set(row_argmax(scores).tolist()) <= {5, 77, 200}


def test_no_latents_have_no_codes():
    assert nearest_codes(torch.empty(0, 4), torch.randn(8, 4)).tolist() == []
