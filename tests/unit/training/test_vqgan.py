"""Training with a discriminator: what each optimizer does, when, and that a run can be resumed."""

import copy
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from vqgen.data import SyntheticImages
from vqgen.data.image_data import ImageDataModule
from vqgen.losses import (
    AdversarialSchedule,
    Adversary,
    ImageLoss,
    Lite0Distance,
    LogitLaplaceLoss,
    PatchDiscriminator,
)
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Decoder, DVAEDecoder, DVAEEncoder, Encoder, Tokenizer
from vqgen.training import Optimization, SeedEachStep, TokenizerModule, VQGANModule

HEARD_FROM_THE_START = AdversarialSchedule(start=0, alone=0, ramp=0, weight=0.5)
NEVER_HEARD = AdversarialSchedule(start=0, alone=100)


class Recorder(Logger):
    """Keeps what is logged, step by step."""

    name, version = "recorder", 0

    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows.setdefault(step, {}).update(metrics)

    def log_hyperparams(self, *_, **__):
        pass


class Gradients(pl.Callback):
    """Keeps the gradients with which each optimizer steps."""

    def __init__(self):
        self.seen = [[], []]

    def on_train_start(self, trainer, pl_module):
        for optimizer, seen in zip(trainer.optimizers, self.seen, strict=False):
            optimizer.register_step_post_hook(lambda optimizer, *_, seen=seen: seen.append(self.of(optimizer)))

    def of(self, optimizer):
        groups = optimizer.param_groups
        return torch.cat([p.grad.flatten() for group in groups for p in group["params"] if p.grad is not None])


class Difference(ImageLoss):
    """A stand-in for a perceptual loss: how far horizontal differences are apart."""

    def forward(self, reconstructions, images):
        return (reconstructions.diff(dim=3) - images.diff(dim=3)).square().mean()


def make_tokenizer():
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention_at": (), "latent_channels": 8}
    quantizer = VectorQuantizer(codebook_size=16, dim=4, kmeans_start=False, restart_below=0.0)
    return Tokenizer(Encoder(**size), Decoder(**size), quantizer)


def make_module(schedule=HEARD_FROM_THE_START, *, lecam=0.0, r1=0.0, normalisation="none", **options):
    tokenizer = make_tokenizer()
    torch.manual_seed(1)
    discriminator = PatchDiscriminator(channels=8, layers=1, normalisation=normalisation)
    adversary = Adversary(discriminator, schedule=schedule, lecam=lecam, r1=r1, r1_every=2)
    return VQGANModule(tokenizer, adversary, pictures=0, **options)


def fit(module, *callbacks, steps=4, batch_size=4, ckpt_path=None, folder=None, **options):
    logger = Recorder()
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[SeedEachStep(0), *callbacks],
        logger=logger,
        log_every_n_steps=1,
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        **options,
    )
    data = ImageDataModule(SyntheticImages(count=40, size=16), batch_size=batch_size)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return logger.rows, trainer


def difference(first, second):
    return max(
        (a.float() - b.float()).abs().max().item()
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_unheard_the_discriminator_changes_nothing_for_the_tokenizer():
    module = make_module(NEVER_HEARD)
    before = copy.deepcopy(module.adversary)
    beside, without, heard = Gradients(), Gradients(), Gradients()
    fit(module, beside)
    fit(TokenizerModule(make_tokenizer(), pictures=0), without, gradient_clip_val=1.0)
    fit(make_module(HEARD_FROM_THE_START), heard)
    assert difference(module.adversary, before) > 1e-4
    for step in range(4):
        expected = without.seen[0][step]
        assert (beside.seen[0][step] - expected).norm() < 1e-2 * expected.norm()
        assert (heard.seen[0][step] - expected).norm() > 1e-1 * expected.norm()


def test_a_likelihood_hears_what_the_decoder_says_of_its_certainty():
    torch.manual_seed(0)
    sizes = {"channels": 8, "levels": 2, "blocks": 1}
    quantizer = VectorQuantizer(codebook_size=16, dim=4, kmeans_start=False, restart_below=0.0)
    tokenizer = Tokenizer(DVAEEncoder(**sizes), DVAEDecoder(**sizes, latent_channels=8), quantizer)
    adversary = Adversary(PatchDiscriminator(channels=8, layers=1, normalisation="none"), schedule=NEVER_HEARD)
    beside, without = Gradients(), Gradients()
    module = VQGANModule(copy.deepcopy(tokenizer), adversary, LogitLaplaceLoss(), pictures=0, gradient_clip=None)
    fit(module, beside, steps=2)
    fit(TokenizerModule(tokenizer, LogitLaplaceLoss(), pictures=0), without, steps=2)
    for first, second in zip(beside.seen[0], without.seen[0], strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_before_its_start_the_discriminator_stays_as_it_is():
    module = make_module(AdversarialSchedule(start=100))
    before = copy.deepcopy(module.adversary)
    rows, _ = fit(module)
    assert difference(module.adversary, before) == 0
    assert not any("train/d_loss" in row for row in rows.values())


def test_the_tokenizer_steps_with_the_gradient_of_the_whole_loss():
    schedule = AdversarialSchedule(start=0, alone=0, ramp=4, weight=0.8)
    module = make_module(schedule, perceptual=Difference(), perceptual_weight=0.7, gradient_clip=None)
    twin = copy.deepcopy(module)
    gradients = Gradients()
    rows, trainer = fit(module, gradients, steps=1)

    batch = next(iter(trainer.datamodule.train_dataloader()))
    images = twin.layout(batch.images)
    result = twin.tokenizer(images)
    comparison = twin.loss(result.images, images) + 0.7 * Difference()(result.images, images)
    adversarial = -twin.adversary.discriminator(result.images).mean()
    last = twin.tokenizer.decoder.conv_out.weight
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (comparison, adversarial)]
    weight = 0.2 * norms[0] / (norms[1] + 1e-6)
    (comparison + result.quantizer_loss + weight.detach() * adversarial).backward()

    expected = gradients.of(module.optimization.build(twin.tokenizer, twin.edges(), trainer)["optimizer"])
    assert torch.allclose(gradients.seen[0][0], expected, rtol=1e-3, atol=1e-6)
    assert rows[0]["train/d_weight"] == pytest.approx(weight.item(), rel=1e-3)
    assert rows[0]["train/gradient_norm"] == pytest.approx(expected.norm().item(), rel=1e-3)


def test_a_step_of_the_trainer_is_a_step_of_the_tokenizer():
    gradients = Gradients()
    schedule = AdversarialSchedule(start=2, alone=1, ramp=1)
    rows, trainer = fit(make_module(schedule), gradients, steps=6)
    assert trainer.global_step == 6
    assert [len(seen) for seen in gradients.seen] == [6, 4]
    assert [step for step, row in rows.items() if "train/d_real" in row] == [2, 3, 4, 5]
    assert [step for step, row in rows.items() if "train/d_weight" in row] == [3, 4, 5]


def test_everything_promised_is_logged():
    module = make_module(perceptual=Lite0Distance(taps=(0,), pretrained=False))
    rows, _ = fit(module, steps=1)
    names = "loss reconstruction perceptual quantizer perplexity gradient_norm d_loss d_real d_fake d_gradient_norm"
    assert {f"train/{name}" for name in (names + " adversarial d_weight").split()} <= set(rows[0])


def test_accumulated_batches_are_one_large_batch():
    both = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        gradients = Gradients()
        module = make_module(NEVER_HEARD, accumulate=accumulate, gradient_clip=None)
        fit(module, gradients, steps=2, batch_size=batch_size)
        both.append(gradients.seen)
    for large, small in zip(*both, strict=True):
        assert len(large) == len(small) == 2
        assert torch.allclose(large[0], small[0], rtol=1e-3, atol=1e-6)


def test_the_last_batches_of_an_epoch_make_a_step_of_their_own():
    gradients = Gradients()
    _, trainer = fit(make_module(accumulate=4), gradients, steps=3)  # 40 images, some held out, 4 to a batch
    batches = trainer.num_training_batches
    assert batches % 4 != 0
    assert len(gradients.seen[0]) == 3


def test_both_gradients_are_clipped_and_logged_as_they_were():
    gradients = Gradients()
    rows, _ = fit(make_module(gradient_clip=1e-3), gradients)
    for name, seen in zip(("gradient_norm", "d_gradient_norm"), gradients.seen, strict=True):
        assert all(gradient.norm() == pytest.approx(1e-3, rel=1e-3) for gradient in seen)
        assert all(row[f"train/{name}"] > 2e-3 for row in rows.values() if f"train/{name}" in row)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, accumulate):
    schedule = AdversarialSchedule(start=1, alone=2, ramp=4)
    options = {"lecam": 0.1, "r1": 0.1, "normalisation": "batch", "accumulate": accumulate}
    optimization = {"optimization": Optimization(warmup_steps=4), "adversary_optimization": Optimization()}

    def run(steps, **more):
        module = make_module(schedule, **options, **optimization)
        average = EMAWeightAveraging(decay=0.9, use_buffers=False)
        keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
        fit(module, average, keep, steps=steps, folder=tmp_path, **more)
        return module

    unbroken = run(10)
    checkpoint = tmp_path / "step=5.ckpt"
    resumed = run(10, ckpt_path=checkpoint)
    assert difference(resumed, unbroken) == 0
    state = torch.load(checkpoint, weights_only=True)
    assert len(state["optimizer_states"]) == len(state["lr_schedulers"]) == 2
    assert state["global_step"] == 5


def test_average_of_the_tokenizer_is_what_is_validated_and_kept():
    trajectory = []

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            trajectory.append(pl_module.tokenizer.decoder.conv_out.weight.detach().clone())

    module = make_module()
    fit(module, Keep(), EMAWeightAveraging(decay=0.5, use_buffers=False))
    expected = trajectory[0]
    for weight in trajectory[1:]:
        expected = 0.5 * expected + 0.5 * weight
    assert torch.allclose(module.tokenizer.decoder.conv_out.weight, expected, atol=1e-6)


def test_bf16_autocast_trains_as_fp32_does_within_its_accuracy():
    rows = {}
    for precision in ("32-true", "bf16-mixed"):
        module = make_module(lecam=0.1, r1=0.1, perceptual=Lite0Distance(taps=(0, 1), pretrained=False))
        rows[precision], _ = fit(module, steps=4, precision=precision)
        assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
        assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
    for name in ("train/reconstruction", "train/d_loss", "train/quantizer"):
        assert rows["bf16-mixed"][3][name] == pytest.approx(rows["32-true"][3][name], rel=0.1), name


@pytest.mark.parametrize(
    ("precision", "strategy", "message"),
    [
        ("16-mixed", None, "use bf16-mixed"),
        ("32-true", DDPStrategy(), "use strategy ddp_find_unused_parameters_true"),
    ],
)
def test_what_cannot_work_is_refused_before_training(precision, strategy, message):
    module = make_module()
    module._trainer = SimpleNamespace(strategy=strategy, precision=precision, datamodule=None)
    with pytest.raises(ValueError, match=message):
        module.setup("fit")


def test_a_decoder_whose_last_layer_has_another_name_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.decoder.last = tokenizer.decoder.conv_out
    del tokenizer.decoder.conv_out
    with pytest.raises(ValueError, match="Decoder has no layer `conv_out`; give its last convolution that name"):
        VQGANModule(tokenizer, Adversary(PatchDiscriminator()))


@pytest.mark.parametrize("options", [{"accumulate": 0}, {"gradient_clip": 0.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="accumulate must be >= 1 and gradient_clip > 0 or None"):
        make_module(**options)


def test_a_saved_tokenizer_goes_on_from_where_it_was(tmp_path):
    saved = make_tokenizer()
    saved.save_pretrained(tmp_path / "tokenizer")
    module = VQGANModule(str(tmp_path / "tokenizer"), Adversary(PatchDiscriminator(layers=1)), pictures=0)
    assert difference(module.tokenizer, saved) == 0
    assert module.tokenizer.training
    fit(module, steps=1)
    assert difference(module.tokenizer, saved) > 0


def test_a_quantizer_with_a_schedule_is_told_how_far_training_is():
    module, told = make_module(), []
    module.tokenizer.quantizer.set_progress = told.append
    fit(module)
    assert told == [0.0, 0.25, 0.5, 0.75]


def test_every_parameter_is_trained():
    module = make_module()
    _, trainer = fit(module, steps=1)
    trained = {id(p) for optimizer in trainer.optimizers for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in module.parameters()}
