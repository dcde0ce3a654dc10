"""The prior's training: which orders it is seen and scored in, and what is recorded of them."""

from unittest.mock import MagicMock

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.data.code_grids import CodeBatch
from vqgen.orders import FixedOrder, RandomPerSample, scan_order
from vqgen.prior import MaskedPrior
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder
from vqgen.training import Optimization, PriorModule, SeedEachStep

ANNEALED = "annealed:random-per-sample->hilbert@1-5"
BATCH = CodeBatch(torch.arange(24).reshape(2, 3, 4) % 7, torch.full((2,), -1))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    torch.manual_seed(0)
    body = {"channels": 8, "multipliers": (1, 1), "blocks": 1, "attention_at": (), "latent_channels": 8}
    folder = tmp_path_factory.mktemp("tokenizer")
    return str(Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(8, 4)).save_pretrained(folder / "saved"))


@pytest.fixture
def make(tokenizer):
    def made(order="raster", **arguments) -> PriorModule:
        torch.manual_seed(0)
        optimization = Optimization(1e-2, warmup_steps=0, schedule="constant")
        defaults = {"optimization": optimization, "samples": 0}
        return PriorModule(tokenizer, small_prior, (6, 8), order=order, **defaults | arguments)

    return made


def small_prior(codebook_size: int, height: int, width: int, num_classes: int) -> Prior:
    prior = Prior(codebook_size, height, width, num_classes, dim=16, depth=1, heads=2)
    torch.nn.init.normal_(prior.head.weight)
    return prior


def logged(module: PriorModule) -> dict[str, float]:
    """What one validation batch logs."""
    module.log = MagicMock()
    with torch.no_grad():
        module.eval().validation_step(BATCH, 3)
    return {call.args[0]: call.args[1].item() for call in module.log.call_args_list}


def scored(module: PriorModule, policy) -> float:
    with torch.no_grad():
        return module.eval().loss(BATCH.codes, BATCH.labels, torch.Generator().manual_seed(3), policy=policy).item()


def order(name: str) -> FixedOrder:
    return FixedOrder(scan_order(name, height=3, width=4))


def fit(module: PriorModule, max_steps: int, **options) -> pl.Trainer:
    trainer = pl.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        callbacks=[SeedEachStep()],
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=options.pop("accumulate", 1),
    )
    # The same batch again and again: a plain loader resumes with the wrong data, which is not what is tested here.
    trainer.fit(module, DataLoader([BATCH] * 8, batch_size=None), **options)
    return trainer


@pytest.mark.parametrize("name", ["raster", "random-per-sample"])
def test_one_policy_is_scored_once(make, name):
    module = make(name)
    assert logged(module) == {"validation/nll": scored(module, module.policy)}


def test_an_annealed_policy_is_scored_in_its_target_at_every_step(make):
    module = make(ANNEALED)
    found = logged(module)
    target = scored(module, order("hilbert"))
    assert found == {"validation/nll": target, "validation/nll/hilbert": target}
    module.steps_done = 3
    assert logged(module) == found


def test_a_mixture_is_scored_by_part_and_in_all(make):
    module = make("mixture:raster=3,random-per-sample=1")
    raster, random = scored(module, order("raster")), scored(module, RandomPerSample(3, 4))
    assert raster != random
    assert logged(module) == pytest.approx(
        {
            "validation/nll": 0.75 * raster + 0.25 * random,
            "validation/nll/raster": raster,
            "validation/nll/random-per-sample": random,
        }
    )


def test_parts_within_parts_are_weighted_by_both(make):
    module = make("annealed:raster->(mixture:(mixture:snake=1,hilbert=1)=1,raster=1,column=0)@0-9")
    found = logged(module)
    assert set(found) == {"validation/nll", *(f"validation/nll/{name}" for name in ("snake", "hilbert", "raster"))}
    mean = (
        0.25 * (found["validation/nll/snake"] + found["validation/nll/hilbert"]) + 0.5 * found["validation/nll/raster"]
    )
    assert found["validation/nll"] == pytest.approx(mean)


def test_validation_orders_are_scored_besides(make):
    module = make("random-per-sample", validation_orders=["raster", "snake"])
    assert logged(module) == {
        "validation/nll": scored(module, module.policy),
        "validation/nll/raster": scored(module, order("raster")),
        "validation/nll/snake": scored(module, order("snake")),
    }


@pytest.mark.parametrize("name", ["hilbert", ANNEALED, "mixture:hilbert=1,column=1"])
def test_validation_orders_that_the_prior_will_not_know_are_refused(make, name):
    with pytest.raises(ValueError, match=r"will not know the validation orders \['raster', 'snake'\]; leave them"):
        make(name, validation_orders=["raster", "hilbert", "snake"])


def test_a_policy_of_ones_own_is_called_with_the_grid(make):
    assert isinstance(make(RandomPerSample).policy, RandomPerSample)
    assert (
        make(lambda height, width: FixedOrder(scan_order("snake", height=height, width=width))).policy.name == "snake"
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_annealed_run_sees_the_orders_of_its_optimizer_steps(make, monkeypatch, accumulate):
    module = make(ANNEALED)
    asked, original = [], type(module.policy).at
    monkeypatch.setattr(type(module.policy), "at", lambda self, step: asked.append(step) or original(self, step))
    fit(module, 4, accumulate=accumulate)
    assert asked == [step for step in range(4) for _ in range(accumulate)]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_annealed_run_resumes_to_the_same_weights(make, tmp_path, accumulate):
    name = "annealed:random-per-sample->hilbert@0-12"
    unbroken, first, resumed = make(name), make(name), make(name)
    fit(unbroken, 12, accumulate=accumulate)
    fit(first, 6, accumulate=accumulate).save_checkpoint(tmp_path / "half.ckpt")
    fit(resumed, 12, accumulate=accumulate, ckpt_path=str(tmp_path / "half.ckpt"))
    assert first.pipeline.order.name == "mixture:random-per-sample=0.5,hilbert=0.5"
    assert resumed.pipeline.order.name == "hilbert"
    for ours, theirs in zip(resumed.state_dict().values(), unbroken.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_saved_prior_records_what_was_in_force(make, tmp_path):
    module = make(ANNEALED)
    for steps, takes_any in ((0, True), (4, True), (5, False)):
        module.steps_done = steps
        loaded = Pipeline.from_pretrained(module.save_pretrained(tmp_path / "saved"))
        assert loaded.order.takes_any is takes_any
    assert loaded.order.describe() == scan_order("hilbert", height=3, width=4).describe()
    with pytest.raises(ValueError, match="trained in the order 'hilbert' and knows no other"):
        loaded.generate(1, order="raster")


def test_a_module_from_a_checkpoint_knows_how_far_it_was_trained(make, tmp_path):
    fit(make(ANNEALED), 5).save_checkpoint(tmp_path / "last.ckpt")
    again = make(ANNEALED)
    again.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert again.pipeline.order.name == "hilbert"


def test_another_schedule_is_refused(make, tmp_path):
    fit(make(ANNEALED), 2).save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"trained in the order .*@1-5.*, this run has .*@1-6.*; set the order back"):
        fit(make("annealed:random-per-sample->hilbert@1-6"), 4, ckpt_path=str(tmp_path / "last.ckpt"))


def masked_prior(codebook_size: int, height: int, width: int, num_classes: int) -> MaskedPrior:
    prior = MaskedPrior(codebook_size, height, width, num_classes, dim=16, depth=1, heads=2)
    torch.nn.init.normal_(prior.head.weight)
    return prior


def test_a_masked_prior_is_trained_in_no_order_and_scored_alike_at_every_validation(tokenizer, tmp_path):
    optimization = Optimization(1e-2, warmup_steps=0, schedule="constant")
    module = PriorModule(tokenizer, masked_prior, (6, 8), samples=0, optimization=optimization)
    assert isinstance(module.policy, RandomPerSample)
    first = logged(module)
    assert first == logged(module)
    assert list(first) == ["validation/nll"]
    assert module.predict_step(BATCH, 0).shape == (2, 3, 4)
    fit(module, 20)
    assert logged(module)["validation/nll"] < first["validation/nll"]
    again = Pipeline.from_pretrained(module.save_pretrained(tmp_path / "run"))
    assert isinstance(again.prior, MaskedPrior)
    assert again.order.takes_any


@pytest.mark.parametrize("arguments", [{"order": "raster"}, {"validation_orders": ["raster"]}])
def test_a_masked_prior_is_refused_an_order(tokenizer, arguments):
    with pytest.raises(ValueError, match=r"a masked prior has no order to be trained or scored in, got .*raster"):
        PriorModule(tokenizer, masked_prior, (6, 8), **arguments)
