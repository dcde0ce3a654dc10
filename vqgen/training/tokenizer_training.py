"""What every way of training a tokenizer shares: how it is validated, what is logged, where it is written."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.data.source import ImageBatch
from vqgen.losses import ImageLoss, LogitLaplaceLoss, ReconstructionLoss
from vqgen.metrics import CodebookUsage, codebook_use, psnr
from vqgen.pictures import picture_grid
from vqgen.tokenizer import Reconstruction, Tokenizer
from vqgen.training.image_log import log_picture
from vqgen.training.optimization import progress


class TokenizerTraining(pl.LightningModule):
    """Base of the modules that train a tokenizer; a subclass gives `training_step` and `configure_optimizers`.

    Logged: `validation/loss`, `validation/psnr` (dB), `validation/codebook_used` (share),
    `validation/codebook_perplexity`, `validation/dead_codes`, `validation/perceptual` where there is such a loss, and a
    picture of originals above reconstructions.

    Args:
        tokenizer: what is trained; or the folder of a saved one, to go on with.
        loss: pixel by pixel; L1 + L2 when left out.
        perceptual: compares features; None does without.
        perceptual_weight: of it, >= 0.
        folder: where the portable tokenizer is written at the end of `fit`; None writes nothing.
        channels_last: memory layout of the convolutions; faster on most devices.
        collapse_below: warn when a smaller share of the codebook is in use in validation, in [0, 1].
        pictures: number of validation images in the logged picture; 0 logs none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str,
        loss: ImageLoss | None,
        perceptual: ImageLoss | None,
        perceptual_weight: float,
        folder: str | None,
        channels_last: bool,
        collapse_below: float,
        pictures: int,
    ) -> None:
        super().__init__()
        if isinstance(tokenizer, str):
            tokenizer = Tokenizer.from_pretrained(tokenizer).train()
        self.tokenizer = tokenizer.to(memory_format=torch.channels_last) if channels_last else tokenizer
        self.loss = loss or ReconstructionLoss()
        self.perceptual = perceptual
        self.perceptual_weight = perceptual_weight
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

    def reconstruct(self, images: Float[Tensor, "b c H W"]) -> Reconstruction:
        """The tokenizer's training pass, its quantizer told how far training is."""
        self.tokenizer.quantizer.set_progress(progress(self.trainer, self.trainer.global_step))
        return self.tokenizer(images)

    def compare(
        self,
        reconstructions: Float[Tensor, "b c H W"],
        images: Float[Tensor, "b c H W"],
        stage: str,
        log_scale: Float[Tensor, "b c H W"] | None = None,
    ) -> Float[Tensor, ""]:
        """Pixel loss plus perceptual loss, each logged.

        Args:
            reconstructions: (b, c, H, W).
            images: (b, c, H, W) in [-1, 1].
            stage: `train` or `validation`, the first part of the logged names.
            log_scale: (b, c, H, W), what the decoder says of each pixel's certainty; for a loss that is a likelihood.

        Returns:
            The sum, a scalar.
        """
        likelihood = isinstance(self.loss, LogitLaplaceLoss)
        total = self.loss(reconstructions, images, *((log_scale,) if likelihood else ()))
        everywhere = stage != "train"
        if stage == "train":
            self.log("train/reconstruction", total.detach())
        if self.perceptual is not None:
            perceptual = self.perceptual(reconstructions, images)
            self.log(f"{stage}/perceptual", perceptual.detach(), sync_dist=everywhere, batch_size=len(images))
            total = total + self.perceptual_weight * perceptual
        return total

    def log_perplexity(self, result: Reconstruction) -> None:
        """Perplexity of a training batch's codes, at the steps that are logged."""
        if self.trainer.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            counts = torch.bincount(result.codes.flatten(), minlength=self.tokenizer.codebook_size)
            self.log("train/perplexity", codebook_use(counts).perplexity)

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Reconstruct a batch and measure."""
        images = self.layout(batch.images)
        result = self.tokenizer(images)
        decoded = result.images.float().clamp(-1, 1)
        self.psnr.update(decoded, images)
        self.usage.update(result.codes)
        loss = self.compare(result.images.float(), images, "validation", result.log_scale) + result.quantizer_loss
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
        codes = self.tokenizer.encode(self.layout(batch.images))
        return {"codes": codes, "images": self.tokenizer.decode(codes)}

    def edges(self) -> list[nn.Module]:
        """The tokenizer's first and last layers, which touch pixels: never Muon's."""
        edges = [getattr(self.tokenizer.encoder, "conv_in", None), getattr(self.tokenizer.decoder, "conv_out", None)]
        return [edge for edge in edges if edge is not None]

    def layout(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        """The images in the memory layout of the convolutions."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

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
