"""The taller grid of a residual quantizer through data, prior and pipeline."""

import pytest
import torch

from vqgen.data import SyntheticImages
from vqgen.data.code_data import CodeDataModule
from vqgen.orders import order_policy
from vqgen.pipeline import Pipeline
from vqgen.prior import Prior
from vqgen.quantizers import EMAVectorQuantizer, ResidualQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


@pytest.fixture
def tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention_at": (), "latent_channels": 8}
    return Tokenizer(
        Encoder(**size), Decoder(**size), ResidualQuantizer(EMAVectorQuantizer(16, 4, kmeans_start=False), depth=3)
    ).eval()


def test_cached_codes_are_depth_times_as_tall(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    source = SyntheticImages(8, (8, 12))
    data = CodeDataModule(str(tmp_path / "tokenizer"), source, codes=tmp_path / "codes")
    data.prepare_data()
    assert data.grid_size == (12, 6)
    codes = data.grids("validation")[0].codes
    expected = tokenizer.encode(source.split("validation").batch([0]).images)[0]
    assert torch.equal(codes, expected)


def test_a_pipeline_generates_images_of_the_right_size_and_counts_all_bits(tokenizer):
    prior = Prior(16, height=12, width=6, dim=8, depth=1, heads=1)
    pipeline = Pipeline(tokenizer, prior, order_policy("raster", height=12, width=6))
    assert pipeline.image_size == (8, 12)
    assert pipeline.generate(2).shape == (2, 3, 8, 12)
    found = pipeline.log_likelihood(torch.rand(2, 3, 8, 12) * 2 - 1)
    # An untrained prior: 4 bits a code, 72 codes for 288 numbers.
    assert found.bits_per_dimension == pytest.approx(4 * 72 / (8 * 12 * 3), rel=1e-4)
