"""The moving averages of the EMA codebook against their definition."""

import pytest
import torch

from vqgen.quantizers import EMAVectorQuantizer


def test_one_update_equals_the_definition():
    torch.manual_seed(0)
    quantizer = EMAVectorQuantizer(3, 2, decay=0.9, epsilon=1e-5, kmeans_start=False, restart_below=0.0)
    counts, sums, codebook = quantizer.counts.clone(), quantizer.sums.clone(), quantizer.codebook.clone()
    latents = torch.randn(1, 2, 4, 4)
    codes = quantizer(latents).codes.flatten()
    rows = latents.movedim(1, -1).reshape(-1, 2)
    for k in range(3):
        mine = rows[codes == k]
        counts[k] = 0.9 * counts[k] + 0.1 * len(mine)
        sums[k] = 0.9 * sums[k] + 0.1 * mine.sum(0)
    smoothed = (counts + 1e-5) / (counts.sum() + 3e-5) * counts.sum()
    assert torch.allclose(quantizer.codebook, sums / smoothed[:, None], atol=1e-6)
    assert not torch.equal(quantizer.codebook, codebook)


def test_the_codebook_converges_to_the_mean_of_its_latents():
    quantizer = EMAVectorQuantizer(1, 2, decay=0.5, kmeans_start=False, restart_below=0.0)
    latents = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4) + torch.randn(1, 2, 4, 4) * 1e-3
    for _ in range(40):
        quantizer(latents)
    assert torch.allclose(quantizer.codebook[0], latents.mean((0, 2, 3)), atol=1e-3)


def test_the_codebook_gets_no_gradient():
    quantizer = EMAVectorQuantizer(4, 2)
    assert [name for name, _ in quantizer.named_parameters()] == []


def test_evaluation_changes_nothing():
    quantizer = EMAVectorQuantizer(4, 2).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(torch.randn(2, 2, 3, 3))
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


@pytest.mark.parametrize(("decay", "epsilon"), [(0.0, 1e-5), (1.0, 1e-5), (0.9, 0.0)])
def test_impossible_averages_are_refused(decay, epsilon):
    with pytest.raises(ValueError, match="decay must be in"):
        EMAVectorQuantizer(4, 2, decay=decay, epsilon=epsilon)
