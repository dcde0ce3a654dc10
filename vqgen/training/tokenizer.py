"""Stage 1: training the tokenizer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.data.source import ImageBatch
from vqgen.losses import ReconstructionLoss
from vqgen.metrics import CodebookUsage, codebook_use, psnr
from vqgen.pictures import picture_grid
from vqgen.tokenizer import Tokenizer
from vqgen.training.image_log import log_picture
from vqgen.training.optimization import Optimization


class TokenizerModule(pl.LightningModule):
    """Trains a tokenizer to reconstruct images.

    Logged: `train/loss`, `train/reconstruction`, `train/quantizer`, `train/perplexity`; `validation/loss`,
        `validation/psnr`
    (dB), `validation/codebook_used` (share), `validation/codebook_perplexity`, `validation/dead_codes`, and a picture
    of originals above reconstructions.

    Args:
        tokenizer: what is trained.
        loss: reconstruction loss; L1 + L2 when left out.
        optimization: optimizer, learning rate, schedule.
        folder: where the portable tokenizer is written at the end of `fit`; None writes nothing.
        channels_last: memory layout of the convolutions; faster on most devices.
        collapse_below: warn when a smaller share of the codebook is in use in validation, in [0, 1].
        pictures: number of validation images in the logged picture; 0 logs none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        loss: ReconstructionLoss | None = None,
        optimization: Optimization = Optimization(),  # noqa: B008  (frozen)
        folder: str | None = None,
        channels_last: bool = True,
        collapse_below: float = 0.1,
        pictures: int = 8,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer.to(memory_format=torch.channels_last) if channels_last else tokenizer
        self.loss = loss or ReconstructionLoss()
        self.optimization = optimization
        self.folder = folder
        self.channels_last = channels_last
        self.collapse_below = collapse_below
        self.pictures = pictures
        self.psnr = psnr()
        self.usage = CodebookUsage(tokenizer.codebook_size)

    def setup(self, stage: str) -> None:
        """Refuse images whose size the tokenizer cannot divide, before anything runs."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.tokenizer.grid_size(data.image_size)

    def training_step(self, batch: ImageBatch, batch_index: int) -> Float[Tensor, ""]:
        """Reconstruct a batch; the loss is reconstruction plus quantizer."""
        images = self._layout(batch.images)
        result = self.tokenizer(images)
        reconstruction = self.loss(result.images, images)
        loss = reconstruction + result.quantizer_loss
        # Left on the device: a logger reads them every `log_every_n_steps`, nothing waits for them in between.
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/reconstruction", reconstruction.detach())
        self.log("train/quantizer", result.quantizer_loss.detach())
        if self.trainer.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            counts = torch.bincount(result.codes.flatten(), minlength=self.tokenizer.codebook_size)
            self.log("train/perplexity", codebook_use(counts).perplexity)
        return loss

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Reconstruct a batch and measure."""
        images = self._layout(batch.images)
        result = self.tokenizer(images)
        decoded = result.images.float().clamp(-1, 1)
        self.psnr.update(decoded, images)
        self.usage.update(result.codes)
        loss = self.loss(result.images, images) + result.quantizer_loss
        self.log("validation/loss", loss, sync_dist=True, batch_size=len(images))
        if batch_index == 0 and self.pictures and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            shown = min(self.pictures, len(images))
            log_picture(
                self.trainer,
                "validation/reconstructions",
                picture_grid(torch.cat([images[:shown], decoded[:shown]]), columns=shown),
            )

    def on_validation_epoch_end(self) -> None:
        """Report the whole split, and warn of a collapsing codebook."""
        use = codebook_use(self.usage.compute())
        self.log("validation/psnr", self.psnr.compute(), prog_bar=True)
        self.log("validation/codebook_used", use.share, prog_bar=True)
        self.log("validation/codebook_perplexity", use.perplexity)
        self.log("validation/dead_codes", float(use.dead))
        self.psnr.reset()
        self.usage.reset()
        if use.share < self.collapse_below and not self.trainer.sanity_checking:
            warnings.warn(
                f"the codebook is collapsing: {use.used} of {self.tokenizer.codebook_size} codes are in use "
                f"({use.share:.1%}, perplexity {use.perplexity:.1f}); raise the quantizer's restart_below, lower its "
                "dim, try l2_normalise, or take a smaller codebook",
                stacklevel=2,
            )

    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: ImageBatch, batch_index: int) -> dict[str, Tensor]:
        """Codes and reconstructions of a batch."""
        codes = self.tokenizer.encode(self._layout(batch.images))
        return {"codes": codes, "images": self.tokenizer.decode(codes)}

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Optimizer and schedule, as `optimization` says."""
        edges = [getattr(self.tokenizer.encoder, "conv_in", None), getattr(self.tokenizer.decoder, "conv_out", None)]
        return self.optimization.build(self.tokenizer, [edge for edge in edges if edge is not None], self.trainer)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the portable tokenizer folder, with the image size it was trained at.

        Args:
            folder: where to write.

        Returns:
            The folder.
        """
        data = getattr(self._trainer, "datamodule", None)
        metadata = {} if data is None else {"image_size": list(data.image_size)}
        return self.tokenizer.save_pretrained(folder, **metadata)

    def _layout(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images
