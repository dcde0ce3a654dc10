import pytest
import torch

from vqgen.checkpoint import build, config_of
from vqgen.prior import CodeFeatures, Prior


def test_features_add_what_the_equations_say() -> None:
    features, latents = CodeFeatures(6, code_dim=3, dim=4), torch.randn(6, 3) * 5.0 + 2.0
    features.fill(latents)
    torch.nn.init.normal_(features.out.weight)
    normalised = (latents - latents.mean(0)) / latents.std(0, correction=0)
    codes, hidden = torch.tensor([[0, 5, 2]]), torch.randn(1, 3, 4)
    torch.testing.assert_close(features.embed(codes), normalised[codes] @ features.into.weight.T)
    torch.testing.assert_close(features.logits(hidden), hidden @ features.out.weight.T @ normalised.T)


def test_a_feature_that_never_varies_is_left_at_zero() -> None:
    features = CodeFeatures(4, code_dim=2, dim=4)
    features.fill(torch.tensor([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0], [4.0, 7.0]]))
    assert features.latents[:, 1].tolist() == [0.0] * 4


def test_a_codebook_of_another_size_is_refused() -> None:
    prior = Prior(8, 2, 2, dim=8, depth=1, heads=1)
    with pytest.raises(ValueError, match=r"expected latents \(k, e\) = \(8, 3\), got \(9, 3\); pass this tokenizer's"):
        prior.use_codebook(torch.zeros(9, 3))


@pytest.mark.parametrize("sizes", [{"codebook_size": 0}, {"code_dim": 0}, {"dim": 0}])
def test_features_refuse_sizes_below_one(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sizes must be >= 1"):
        CodeFeatures(**{"codebook_size": 4, "code_dim": 2, "dim": 4, **sizes})


def test_a_prior_that_knows_its_codes_is_rebuilt_with_its_latents() -> None:
    prior = Prior(8, 2, 2, dim=8, depth=1, heads=1)
    prior.use_codebook(torch.randn(8, 3))
    rebuilt = build(config_of(prior))
    assert isinstance(rebuilt, Prior)
    rebuilt.load_state_dict(prior.state_dict())
    assert rebuilt.code_features is not None
    assert prior.code_features is not None
    assert torch.equal(rebuilt.code_features.latents, prior.code_features.latents)
