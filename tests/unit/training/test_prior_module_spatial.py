"""Training a prior that is told a grid, from data to the folder it leaves."""

from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.conditioning import AlignedGridConditioner, PrefixGridConditioner, SpatialConditioner
from vqgen.data import ChangedImages, SyntheticImages
from vqgen.data.code_data import CodeDataModule
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder
from vqgen.training import PriorModule

SOURCE = SyntheticImages(12, 16, num_classes=3)


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=16, dim=4)).eval()
    return str(tokenizer.save_pretrained(tmp_path / "tokenizer"))


def make(tokenizer: str, data: CodeDataModule, kind: type[SpatialConditioner] = AlignedGridConditioner) -> PriorModule:
    torch.manual_seed(1)
    return PriorModule(
        tokenizer,
        partial(Prior, dim=8, depth=1, heads=2),
        data.image_size,
        data.num_classes,
        use_codebook=True,
        order="random-per-sample",
        samples=2,
        conditioner=partial(kind, dim=8),
        condition_shape=data.condition_shape,
        condition_tokenizer=data.condition_tokenizer,
    )


def trainer(folder: Path, steps: int) -> pl.Trainer:
    return pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [AlignedGridConditioner, PrefixGridConditioner])
def test_what_training_leaves_colours_images(kind: type[SpatialConditioner], tokenizer: str, tmp_path: Path) -> None:
    data = CodeDataModule(tokenizer, SOURCE, batch_size=4, views=2, cache=tmp_path, condition=ChangedImages("grey"))
    module = make(tokenizer, data, kind)
    before = {name: parameter.detach().clone() for name, parameter in module.prior.conditioner.named_parameters()}
    fitting = trainer(tmp_path, steps=3)
    fitting.fit(module, data)
    assert fitting.callback_metrics["validation/nll"].isfinite()
    for name, parameter in module.prior.conditioner.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    pipeline = Pipeline.from_pretrained(module.save_pretrained(tmp_path / "run"))
    assert pipeline.grids is not None
    assert pipeline.grids.transform == "grey"
    conditioner = pipeline.prior.conditioner
    assert isinstance(conditioner, kind)
    assert (conditioner.num_codes, conditioner.code_dim) == (16, 4)
    assert not (tmp_path / "run" / "condition-tokenizer").exists()
    images = SOURCE.split("validation").batch(range(3)).images
    assert pipeline.generate(3, images).shape == (3, 3, 16, 16)


@pytest.mark.filterwarnings("ignore")
def test_a_second_tokenizer_goes_with_the_prior(tokenizer: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    size = {"channels": 8, "multipliers": (1,), "latent_channels": 8, "patch": 4}
    other = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=32, dim=6)).eval()
    other.save_pretrained(tmp_path / "other")
    condition = ChangedImages("same", tmp_path / "other")
    data = CodeDataModule(tokenizer, SOURCE, batch_size=4, cache=tmp_path, condition=condition)
    assert data.condition_shape == (32, 4, 4)
    module = make(tokenizer, data, PrefixGridConditioner)
    trainer(tmp_path, steps=1).fit(module, data)
    pipeline = Pipeline.from_pretrained(module.save_pretrained(tmp_path / "run"))
    assert pipeline.grids is not None
    assert pipeline.grids.fingerprint() == f"same/{other.fingerprint()}"


@pytest.mark.filterwarnings("ignore")
def test_data_without_the_condition_is_refused(tokenizer: str, tmp_path: Path) -> None:
    told = CodeDataModule(tokenizer, SOURCE, batch_size=4, cache=tmp_path, condition=ChangedImages("grey"))
    module = make(tokenizer, told)
    with pytest.raises(ValueError, match="this prior is told condition, and the data gives codes, labels"):
        trainer(tmp_path, steps=1).fit(module, CodeDataModule(tokenizer, SOURCE, batch_size=4, cache=tmp_path))
    with pytest.raises(ValueError, match=r"the shape of its grids, and the data gives neither; set .*condition"):
        make(tokenizer, CodeDataModule(tokenizer, SOURCE, batch_size=4, cache=tmp_path))


@pytest.mark.parametrize("order", ["raster", "random-per-sample"])
def test_what_lies_at_a_cell_is_learned_under_every_order(order: str) -> None:
    from vqgen.orders import order_policy

    torch.manual_seed(0)
    conditioner = AlignedGridConditioner(8, 4, 4, dim=32, condition_dropout=0.2)
    prior = Prior(8, 4, 4, dim=32, depth=1, heads=2, conditioner=conditioner)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-2)
    policy, generator = order_policy(order, height=4, width=4), torch.Generator().manual_seed(0)
    for _ in range(100):
        codes = torch.randint(8, (32, 4, 4))
        loss = prior.nll(codes, policy.positions(32, generator), (codes + 3) % 8).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = torch.randint(8, (32, 4, 4))
    positions = policy.positions(32, generator)
    with torch.no_grad():
        told, untold = prior.eval().nll(codes, positions, (codes + 3) % 8).mean(), prior.nll(codes, positions).mean()
    assert told < 0.1
    assert untold > 2.0  # log 8 = 2.08 is all that can be known without
