"""Stage 1: training the tokenizer."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from vqgen.data.source import ImageBatch
from vqgen.losses import ImageLoss
from vqgen.tokenizer import Tokenizer
from vqgen.training.optimization import Optimization
from vqgen.training.tokenizer_training import TokenizerTraining


class TokenizerModule(TokenizerTraining):
    """Trains a tokenizer to reconstruct images.

    Logged: `train/loss`, `train/reconstruction`, `train/perceptual`, `train/quantizer`, `train/perplexity`, and what
    `TokenizerTraining` logs in validation.

    Args:
        tokenizer: what is trained; or the folder of a saved one, to go on with.
        loss: pixel by pixel; L1 + L2 when left out.
        optimization: optimizer, learning rate, schedule.
        folder: where the portable tokenizer is written at the end of `fit`; None writes nothing.
        channels_last: memory layout of the convolutions; faster on most devices.
        collapse_below: warn when a smaller share of the codebook is in use in validation, in [0, 1].
        pictures: number of validation images in the logged picture; 0 logs none.
        perceptual: compares features; None does without.
        perceptual_weight: of it, >= 0.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str,
        loss: ImageLoss | None = None,
        optimization: Optimization = Optimization(),  # noqa: B008  (frozen)
        folder: str | None = None,
        channels_last: bool = True,
        collapse_below: float = 0.1,
        pictures: int = 8,
        perceptual: ImageLoss | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__(
            tokenizer, loss, perceptual, perceptual_weight, folder, channels_last, collapse_below, pictures
        )
        self.optimization = optimization

    def training_step(self, batch: ImageBatch, batch_index: int) -> Float[Tensor, ""]:
        """Reconstruct a batch; the loss is reconstruction plus quantizer."""
        images = self.layout(batch.images)
        result = self.reconstruct(images)
        loss = self.compare(result.images, images, "train", result.log_scale) + result.quantizer_loss
        # Left on the device: a logger reads them every `log_every_n_steps`, nothing waits for them in between.
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/quantizer", result.quantizer_loss.detach())
        self.log_perplexity(result)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Optimizer and schedule, as `optimization` says."""
        return self.optimization.build(self.tokenizer, self.edges(), self.trainer)
