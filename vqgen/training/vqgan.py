"""Stage 1 with a discriminator: VQGAN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from vqgen.data.source import ImageBatch
from vqgen.losses import Adversary, ImageLoss, adaptive_weight
from vqgen.tokenizer import Tokenizer
from vqgen.training.optimization import Optimization
from vqgen.training.tokenizer_training import TokenizerTraining

ADVERSARY = Optimization(learning_rate=4e-4, betas=(0.5, 0.9), weight_decay=0.0, warmup_steps=0, schedule="constant")
"""How the discriminator is optimized when nothing else is said: steadily, for as long as it learns."""


class VQGANModule(TokenizerTraining):
    """Trains a tokenizer to reconstruct images that a discriminator takes for real ones (VQGAN, 2012.09841).

    `L = reconstruction + perceptual + quantizer + r(t) lambda adversarial`, lambda the adaptive weight (equation 7) and
    r(t) the adversary's schedule. A step decodes once; each loss is differentiated once with respect to the decoded
    images, which serves the adaptive weight and the training step both. Then the discriminator learns from the same
    images. A step of the Trainer (`max_steps`, checkpoints, averaging) is a step of the generator.

    Logged beside what `TokenizerTraining` logs: `train/loss`, `train/reconstruction`, `train/perceptual`,
    `train/quantizer`, `train/perplexity`, `train/gradient_norm`; from when the discriminator learns, `train/d_loss`,
    `train/d_real` and `train/d_fake` (mean logits) and `train/d_gradient_norm`; from when it is heard,
    `train/adversarial` and `train/d_weight` (r lambda).

    Args:
        tokenizer: what is trained; or the folder of a saved one, to go on with.
        adversary: the discriminator, its loss and its schedule.
        loss: pixel by pixel; L1 + L2 when left out.
        perceptual: compares features; None does without.
        perceptual_weight: of it, >= 0.
        optimization: of the tokenizer.
        adversary_optimization: of the discriminator; its schedule counts the discriminator's own steps.
        accumulate: batches to a step, >= 1 (the Trainer's `accumulate_grad_batches` does not work with two optimizers).
        gradient_clip: largest norm of either's gradient; None does not clip (in place of `gradient_clip_val`).
        folder: where the portable tokenizer is written at the end of `fit`; None writes nothing.
        channels_last: memory layout of the convolutions; faster on most devices.
        collapse_below: warn when a smaller share of the codebook is in use in validation, in [0, 1].
        pictures: number of validation images in the logged picture; 0 logs none.

    Raises:
        ValueError: if `accumulate` or `gradient_clip` is out of range, if the decoder's last layer is not known, or
            before training if the Trainer's precision or strategy does not suit.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str,
        adversary: Adversary,
        loss: ImageLoss | None = None,
        perceptual: ImageLoss | None = None,
        perceptual_weight: float = 1.0,
        optimization: Optimization = Optimization(),  # noqa: B008  (frozen)
        adversary_optimization: Optimization = ADVERSARY,
        accumulate: int = 1,
        gradient_clip: float | None = 1.0,
        folder: str | None = None,
        channels_last: bool = True,
        collapse_below: float = 0.1,
        pictures: int = 8,
    ) -> None:
        super().__init__(
            tokenizer, loss, perceptual, perceptual_weight, folder, channels_last, collapse_below, pictures
        )
        if accumulate < 1 or (gradient_clip is not None and gradient_clip <= 0):
            raise ValueError(
                "accumulate must be >= 1 and gradient_clip > 0 or None, "
                f"got accumulate={accumulate}, gradient_clip={gradient_clip}"
            )
        self.automatic_optimization = False
        self.adversary = adversary.to(memory_format=torch.channels_last) if channels_last else adversary
        self.optimization = optimization
        self.adversary_optimization = adversary_optimization
        self.accumulate = accumulate
        self.gradient_clip = gradient_clip
        _last_layer(self.tokenizer)

    def setup(self, stage: str) -> None:
        """Refuse what cannot work, before anything runs."""
        super().setup(stage)
        # Checkpoints hold the state after the step, as in any other run; Lightning warns of it all the same.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        if self.trainer.precision == "16-mixed":
            raise ValueError("float16 needs its losses scaled, which two optimizers do not share; use bf16-mixed")
        strategy = self.trainer.strategy
        unused_allowed = getattr(strategy, "_ddp_kwargs", {}).get("find_unused_parameters", False)
        if stage == "fit" and isinstance(strategy, DDPStrategy) and not unused_allowed:
            raise ValueError(
                "tokenizer and discriminator learn in turns, so in each turn some parameters go unused; "
                "use strategy ddp_find_unused_parameters_true"
            )

    def training_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Reconstruct a batch; the tokenizer learns from the losses, then the discriminator from the images."""
        images = self.layout(batch.images)
        step = self.trainer.global_step
        whole = (batch_index + 1) % self.accumulate == 0 or self.trainer.is_last_batch
        result = self.reconstruct(images)
        self.log_perplexity(result)

        # The losses see the decoded images as a leaf: what they pull at is all that the tokenizer needs to know.
        said = [each for each in (result.images, result.log_scale) if each is not None]
        leaves = [each.detach().float().requires_grad_() for each in said]
        decoded = leaves[0]
        comparison = self.compare(decoded, images, "train", *leaves[1:])
        pulls = list(torch.autograd.grad(comparison, leaves, materialize_grads=True))
        weight = self.adversary.schedule.weight_at(step)
        if weight > 0:
            pulls[0] = pulls[0] + self._adversarial_pull(result.images, decoded, pulls[0], weight)
        self.log("train/loss", (comparison + result.quantizer_loss).detach(), prog_bar=True)
        self.log("train/quantizer", result.quantizer_loss.detach())
        pulled = torch.stack([(each.float() * pull).sum() for each, pull in zip(said, pulls, strict=True)]).sum()
        self.manual_backward((pulled + result.quantizer_loss) / self.accumulate)
        optimizers: Any = self.optimizers()
        schedulers: Any = self.lr_schedulers()
        if whole:
            self.log("train/gradient_norm", self._clip(self.tokenizer.parameters()))
            optimizers[0].step()
            optimizers[0].zero_grad()
            schedulers[0].step()

        if self.adversary.schedule.learning(step):
            verdict = self.adversary.judge(images, decoded.detach(), step)
            self.log("train/d_loss", verdict.loss.detach())
            self.log("train/d_real", verdict.real)
            self.log("train/d_fake", verdict.fake)
            self.manual_backward(verdict.loss / self.accumulate)
            if whole:
                self.log("train/d_gradient_norm", self._clip(self.adversary.parameters()))
                # Lightning's wrapper would count this as a further step of the Trainer.
                optimizers[1].optimizer.step()
                optimizers[1].zero_grad()
                schedulers[1].step()

    def configure_optimizers(self) -> tuple[dict[str, Any], dict[str, Any]]:  # type: ignore[override]
        """An optimizer and a schedule for the tokenizer, and for the discriminator."""
        layers = [m for m in self.adversary.modules() if isinstance(m, nn.Conv2d)]
        return (
            self.optimization.build(self.tokenizer, self.edges(), self.trainer),
            self.adversary_optimization.build(self.adversary, [layers[0], layers[-1]] if layers else [], self.trainer),
        )

    def _adversarial_pull(
        self,
        result: Float[Tensor, "b c H W"],
        decoded: Float[Tensor, "b c H W"],
        pull: Float[Tensor, "b c H W"],
        weight: float,
    ) -> Float[Tensor, "b c H W"]:
        """The discriminator's gradient with respect to the decoded images, as strong as schedule and rule say."""
        adversarial = self.adversary.generator_loss(decoded)
        (against,) = torch.autograd.grad(adversarial, decoded)
        strength = weight * adaptive_weight(
            result, pull, against, _last_layer(self.tokenizer), self.adversary.max_weight
        )
        self.log("train/adversarial", adversarial.detach())
        self.log("train/d_weight", strength)
        return strength * against

    def _clip(self, parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
        """Clip the gradients; returns their norm before that."""
        return nn.utils.clip_grad_norm_(parameters, math.inf if self.gradient_clip is None else self.gradient_clip)


def _last_layer(tokenizer: Tokenizer) -> nn.Parameter:
    """The weight of the decoder's last layer: `conv_out`, as vqgen's decoders name it."""
    weight = getattr(getattr(tokenizer.decoder, "conv_out", None), "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise ValueError(
            "the adaptive weight needs the decoder's last layer, and "
            f"{type(tokenizer.decoder).__name__} has no layer `conv_out`; give its last convolution that name"
        )
    return weight
