"""Training a prior that is told captions: its loss, its pictures, what is recorded and what is refused."""

from unittest.mock import MagicMock

import pytest
import torch

from vqgen import Prior, Tokenizer
from vqgen.conditioning import TextEncoder, TextStream, train_vocabulary
from vqgen.data import CaptionedBatch, CodeBatch
from vqgen.orders import order_policy
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder
from vqgen.training import PriorModule
from vqgen.training.prior import VOCABULARY_KEY

VOCABULARY = train_vocabulary(["red apple", "green apple"] * 2, size=270)
WAYS = {"encoder": TextEncoder, "stream": TextStream}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    torch.manual_seed(0)
    body = {"channels": 8, "multipliers": (1, 1), "blocks": 1, "attention_at": (), "latent_channels": 8}
    folder = tmp_path_factory.mktemp("tokenizer")
    return str(Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(8, 4)).save_pretrained(folder / "saved"))


def make(tokenizer: str, way: str, **settings) -> PriorModule:
    def conditioner(vocabulary: str):
        return WAYS[way](vocabulary, 16, length=6, caption_dropout=0.0)

    def prior(*sizes, **more) -> Prior:
        made = Prior(*sizes, dim=16, depth=1, heads=2, **more)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return made

    torch.manual_seed(0)
    defaults = {"num_classes": 5, "conditioner": conditioner, "vocabulary": VOCABULARY, "samples": 2}
    return PriorModule(tokenizer, prior, (6, 8), **defaults | settings)


def batch_of(module: PriorModule) -> CaptionedBatch:
    tokens = module.prior.conditioner.tokens(["red apple", "green apple"])
    return CaptionedBatch(torch.arange(24).reshape(2, 3, 4) % 7, torch.tensor([3, 1]), tokens)


def test_the_loss_is_the_weighted_sum_of_text_and_codes(tokenizer) -> None:
    module = make(tokenizer, "stream", text_weight=0.125)
    module.log, batch = MagicMock(), batch_of(module)
    loss = module.training_step(batch, 0)
    positions = torch.arange(12).expand(2, -1)
    nats, of_text = module.prior.joint_nll(batch.codes, positions, batch.captions)
    torch.testing.assert_close(loss, 0.875 * nats.mean() + 0.125 * of_text.mean)
    found = {call.args[0]: call.args[1] for call in module.log.call_args_list}
    torch.testing.assert_close(found["train/nll"], nats.mean().detach())
    torch.testing.assert_close(found["train/text_nll"], of_text.mean.detach())
    torch.testing.assert_close(module.loss(batch.codes, batch.captions), nats.mean())


@pytest.mark.parametrize("way", WAYS)
def test_captions_are_told_in_place_of_classes(tokenizer, way) -> None:
    module = make(tokenizer, way)
    batch = batch_of(module)
    other = batch._replace(labels=torch.tensor([0, 0]))
    module.log = MagicMock()
    losses = [module.training_step(each, 0) for each in (batch, other, batch._replace(captions=batch.captions.flip(0)))]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert module.prior.num_classes == 0


def test_samples_are_drawn_for_captions_of_the_validation(tokenizer, monkeypatch) -> None:
    module = make(tokenizer, "encoder")
    module.log, module._trainer = MagicMock(), MagicMock(sanity_checking=False, is_global_zero=True, datamodule=None)
    shown: list[torch.Tensor] = []
    monkeypatch.setattr("vqgen.training.prior.log_picture", lambda *_: None)
    monkeypatch.setattr(
        "vqgen.pipeline.Pipeline.generate",
        lambda self, count, condition, **_: shown.append(condition) or torch.zeros(count, 3, 6, 8),
    )
    batch = batch_of(module)
    module.eval().validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert torch.equal(shown[0], batch.captions)


def test_a_checkpoint_of_another_vocabulary_is_refused(tokenizer) -> None:
    module, checkpoint = make(tokenizer, "encoder"), {"global_step": 3}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint[VOCABULARY_KEY] == VOCABULARY
    module.on_load_checkpoint(dict(checkpoint))
    checkpoint[VOCABULARY_KEY] = train_vocabulary(["blue book"] * 2, size=270)
    with pytest.raises(ValueError, match="another vocabulary of captions"):
        module.on_load_checkpoint(checkpoint)


def test_what_does_not_go_together_is_refused(tokenizer) -> None:
    with pytest.raises(ValueError, match="needs the vocabulary of the captions"):
        make(tokenizer, "encoder", vocabulary=None)
    with pytest.raises(ValueError, match=r"text_weight=0\.1 needs a prior that models captions"):
        make(tokenizer, "encoder", text_weight=0.1)
    with pytest.raises(ValueError, match=r"text_weight must be in \[0, 1\), got 1.0"):
        make(tokenizer, "stream", text_weight=1.0)
    module = make(tokenizer, "stream")
    with pytest.raises(ValueError, match="told captions, and the data gives codes, labels"):
        module.training_step(CodeBatch(*batch_of(module)[:2]), 0)
    with pytest.raises(ValueError, match="both say what the prior is told, got num_classes=5 and a TextStream"):
        Prior(8, 3, 4, 5, dim=16, depth=1, heads=2, conditioner=TextStream(VOCABULARY, 16))
    with pytest.raises(ValueError, match="as wide as the prior, got dim=8 of the conditioner and 16"):
        Prior(8, 3, 4, dim=16, depth=1, heads=2, conditioner=TextStream(VOCABULARY, 8))


def test_a_text_prior_goes_with_the_orders_of_a_policy(tokenizer) -> None:
    module = make(tokenizer, "stream", order="random-per-sample")
    module.log = MagicMock()
    policy = order_policy("random-per-sample", height=3, width=4)
    batch = batch_of(module)
    losses = [module.loss(batch.codes, batch.captions, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert module.policy.describe() == policy.describe()
