"""Stage 2: training the prior on the codes of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.conditioning import GridOfImages, SpatialConditioner, TextConditioner, TextStream
from vqgen.data.source import ImageBatch
from vqgen.orders import (
    AnnealedOrder,
    FixedOrder,
    MixtureOrder,
    OrderPolicy,
    RandomPerSample,
    order_policy,
    scan_order,
)
from vqgen.pictures import picture_grid
from vqgen.pipeline import Pipeline, check_tokenizer
from vqgen.prior import MaskedPrior, Prior
from vqgen.tokenizer import Tokenizer
from vqgen.training.image_log import log_picture
from vqgen.training.optimization import Optimization

NO_ORDER = "random-per-sample"
"""The policy that stands for no order at all, as of masked priors."""

ORDER_KEY = "vqgen_order"
TOKENIZER_KEY = "vqgen_tokenizer"
VOCABULARY_KEY = "vqgen_vocabulary"


class PriorModule(pl.LightningModule):
    """Trains a prior by teacher forcing on grids of codes, in the chosen scan order.

    Batches are cached codes, or images, which the frozen tokenizer encodes on the way. Logged: `train/nll` and
    `validation/nll` (nats per code), and a picture of samples.

    The order may change in the course of training: a batch is seen under `policy.at(steps_done)`, and `steps_done` is
    the Trainer's count of optimizer steps, the same in all processes and batches of a step, and part of every
    checkpoint. `validation/nll` does not change with it, so that it can be compared over a run:

    - of one order: scored in that order; of random orders: each sample in one, the same in every validation;
    - of a masked prior: an upper bound, see `MaskedPrior.nll`, from the same views of the same batch at every call;
    - of an annealed policy: scored in its target, also as `validation/nll/TARGET`;
    - of a mixture: the mean over its parts by their weights, each also as `validation/nll/PART`.

    What is saved at the end, or drawn from on the way, records what was in force: after annealing the target.

    Args:
        tokenizer: folder of the trained tokenizer.
        prior: called with codebook size, grid height, grid width and number of classes; what is set in a config is the
            rest.
        image_size: (H, W) of the images; given by the data.
        num_classes: number of classes, 0 for none; given by the data.
        use_codebook: let the prior know codes by their latents, see `CodeFeatures`: it learns sooner, the more so the
            fewer images there are.
        order: an order policy by name (see `order_policy`: a scan order, an order file, `random-per-sample`,
            `mixture:...`, `annealed:...`), or a class called with grid height and grid width that gives one. None is
            `raster`; for a masked prior, which has no order, `random-per-sample`, and nothing else goes with it.
        order_seed: for orders that are drawn once (`random`).
        optimization: optimizer, learning rate, schedule.
        folder: where the portable pipeline (tokenizer and prior) is written at the end of `fit`; None writes nothing.
        label_smoothing: of the training loss, in [0, 1); validation is never smoothed.
        samples: number of images in the logged picture; 0 logs none.
        top_k: for those samples.
        validation_orders: orders, by name, that validation scores besides, each as `validation/nll/ORDER`; for priors
            that take any order.
        conditioner: for priors that are told captions, called with their vocabulary: `TextEncoder` or `TextStream`; for
            those that are told a grid, called with `condition_shape`: `AlignedGridConditioner` or
            `PrefixGridConditioner`. Class labels are not told then.
        vocabulary: of the captions; given by the data.
        condition_shape: number of codes, rows and columns of the grids that are told; given by the data.
        condition_tokenizer: folder of the tokenizer they are of, which `use_codebook` is for too; given by the data.
        text_weight: of captions in the training loss, in [0, 1); codes have the rest. For `TextStream`, which models
            them too; logged as `train/text_nll`, in nats per token.

    Raises:
        ValueError: if the order is unknown, a masked prior is given one, or a validation order is none that the prior
            will know; if captions are to be told or modelled that the data or the prior does not have.
    """

    def __init__(
        self,
        tokenizer: str,
        prior: Callable[[int, int, int, int], Prior | MaskedPrior],
        image_size: tuple[int, int],
        num_classes: int = 0,
        use_codebook: bool = False,
        order: str | Callable[[int, int], OrderPolicy] | None = None,
        order_seed: int = 0,
        optimization: Optimization = Optimization(),  # noqa: B008  (frozen)
        folder: str | None = None,
        label_smoothing: float = 0.0,
        samples: int = 8,
        top_k: int | None = 100,
        validation_orders: Sequence[str] = (),
        conditioner: Callable[[str], TextConditioner] | Callable[[int, int, int], SpatialConditioner] | None = None,
        vocabulary: str | None = None,
        condition_shape: tuple[int, int, int] | None = None,
        condition_tokenizer: str | None = None,
        text_weight: float = 0.0,
    ) -> None:
        super().__init__()
        frozen = Tokenizer.from_pretrained(tokenizer).requires_grad_(False)
        height, width = frozen.grid_size(image_size)
        # In a list, so that it is no submodule: checkpoints of the prior do not hold the tokenizer's weights.
        self._frozen = [frozen]
        self.tokenizer_fingerprint = frozen.fingerprint()
        prior = _told_by(prior, conditioner, vocabulary, condition_shape)
        self.prior = prior(frozen.codebook_size, height, width, num_classes)
        if not 0.0 <= text_weight < 1.0:
            raise ValueError(
                f"text_weight must be in [0, 1), got {text_weight}; it is the share of the loss on captions"
            )
        if text_weight and not (isinstance(self.prior, Prior) and isinstance(self.prior.conditioner, TextStream)):
            raise ValueError(
                f"text_weight={text_weight} needs a prior that models captions; set conditioner to "
                "vqgen.conditioning.TextStream, or leave text_weight out"
            )
        if use_codebook:
            self.prior.use_codebook(frozen.codebook())
            if isinstance(self.prior.conditioner, SpatialConditioner) and condition_tokenizer is not None:
                self.prior.conditioner.use_codebook(Tokenizer.from_pretrained(condition_tokenizer).codebook())
        grid = {"height": height, "width": width, "seed": order_seed}
        masked = isinstance(self.prior, MaskedPrior)
        order = order or (NO_ORDER if masked else "raster")
        self.policy = order_policy(order, **grid) if isinstance(order, str) else order(height, width)
        if masked and (validation_orders or not isinstance(self.policy, RandomPerSample)):
            raise ValueError(
                f"a masked prior has no order to be trained or scored in, got order {self.policy.name!r} and "
                f"validation orders {list(validation_orders)}; leave both out"
            )
        self.validation_orders = [scan_order(name, **grid) for name in validation_orders]
        if unknown := [each.name for each in self.validation_orders if not self.policy.knows(each)]:
            raise ValueError(
                f"a prior trained under {self.policy.name!r} will not know the validation orders {unknown}; leave them "
                "out, or train with order random-per-sample"
            )
        self.steps_done = 0
        self.optimization = optimization
        self.folder = folder
        self.label_smoothing = label_smoothing
        self.samples = samples
        self.top_k = top_k
        self.text_weight = text_weight
        self._shown: Tensor | None = None  # the conditions that pictures of samples are drawn for

    @property
    def tokenizer(self) -> Tokenizer:
        """The frozen tokenizer, on the prior's device."""
        return self._frozen[0].to(self.device)

    @property
    def pipeline(self) -> Pipeline:
        """Tokenizer, prior and the order in force now together, in evaluation mode."""
        data = getattr(self._trainer, "datamodule", None)
        policy = self.policy.at(self.steps_done)
        names = () if data is None or self.prior.num_classes == 0 else data.class_names
        grids = getattr(data, "condition_encoder", None)
        return Pipeline(
            self.tokenizer, self.prior, policy, names, grids=grids if isinstance(grids, GridOfImages) else None
        )

    def setup(self, stage: str) -> None:
        """Refuse codes of another tokenizer, before anything runs."""
        expected = getattr(getattr(self.trainer, "datamodule", None), "tokenizer_fingerprint", None)
        if expected is not None:
            check_tokenizer(self.tokenizer_fingerprint, expected, where="training data")

    def loss(
        self,
        codes: Int[Tensor, "b h w"],
        condition: Int[Tensor, "b ..."] | None,
        generator: torch.Generator | None = None,
        label_smoothing: float = 0.0,
        policy: OrderPolicy | None = None,
    ) -> Float[Tensor, ""]:
        """Mean negative log-likelihood of codes, in nats per code.

        Args:
            codes: (b, h, w).
            condition: (b,) labels with -1 for none, or what else the prior is told; ignored by an unconditional prior.
            generator: of random orders; None takes torch's own.
            label_smoothing: share of probability spread over all codes, in [0, 1).
            policy: which orders to see them in; None takes what is in force now.

        Returns:
            The loss, a scalar.
        """
        policy = policy or self.policy.at(self.steps_done)
        positions = policy.positions(len(codes), generator).to(codes.device)
        condition = None if self.prior.conditioner.reads is None else condition
        return self.prior.nll(codes, positions, condition, generator=generator, label_smoothing=label_smoothing).mean()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Note how far training is: the order may go by it."""
        self.steps_done = self.trainer.global_step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        """Note how far training is, for samples and for what is saved."""
        self.steps_done = self.trainer.global_step

    def training_step(self, batch: Any, batch_index: int) -> Float[Tensor, ""]:
        """Loss of a batch of codes or images."""
        codes, condition = self._codes(batch), self._condition(batch)
        if not self.text_weight:
            loss = self.loss(codes, condition, label_smoothing=self.label_smoothing)
            self.log("train/nll", loss.detach(), prog_bar=True)
            return loss
        assert isinstance(self.prior, Prior)
        positions = self.policy.at(self.steps_done).positions(len(codes)).to(codes.device)
        nats, of_text = self.prior.joint_nll(codes, positions, condition, label_smoothing=self.label_smoothing)
        assert of_text is not None
        self.log("train/nll", nats.detach().mean(), prog_bar=True)
        self.log("train/text_nll", of_text.mean.detach(), prog_bar=True)
        return (1.0 - self.text_weight) * nats.mean() + self.text_weight * of_text.mean

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Negative log-likelihood of a batch; random orders are the same in every validation."""
        codes, condition, count = self._codes(batch), self._condition(batch), len(batch.labels)
        if batch_index == 0:
            self._shown = condition

        def score(policy: OrderPolicy) -> Float[Tensor, ""]:
            return self.loss(codes, condition, torch.Generator().manual_seed(batch_index), policy=policy)

        parts = parts_in_the_end(self.policy)
        found = [(policy.name, score(policy), weight) for policy, weight in parts]
        nll = torch.stack([weight * part for _, part, weight in found]).sum()
        self.log("validation/nll", nll, prog_bar=True, sync_dist=True, batch_size=count)
        named = [] if parts == [(self.policy, 1.0)] else [(name, part) for name, part, _ in found]
        named += [(order.name, score(FixedOrder(order))) for order in self.validation_orders]
        for name, part in dict(named).items():
            self.log(f"validation/nll/{name}", part, sync_dist=True, batch_size=count)

    def on_validation_epoch_end(self) -> None:
        """Draw samples and log their picture."""
        if not self.samples or self.trainer.sanity_checking or not self.trainer.is_global_zero:
            return
        classes = self.prior.num_classes
        condition = torch.arange(self.samples) % classes if classes else self._shown
        count = self.samples if classes or condition is None else min(self.samples, len(condition))
        condition = None if condition is None else condition[:count]
        images = self.pipeline.generate(
            count, condition, top_k=None if self.top_k is None else min(self.top_k, self.prior.codebook_size)
        )
        log_picture(self.trainer, "validation/samples", picture_grid(images, columns=min(8, count)))

    test_step = validation_step

    def predict_step(self, batch: Any, batch_index: int) -> Float[Tensor, "b h w"]:
        """Nats of every cell of a batch, (b, h, w); a bound if the prior is masked."""
        from vqgen.metrics import likelihood, likelihood_bound

        codes = self._codes(batch)
        condition = self._condition(batch)
        if isinstance(self.prior, MaskedPrior):
            downsampling = self.tokenizer.downsampling
            return likelihood_bound(self.prior, codes, condition, downsampling=downsampling, seed=batch_index).nats
        positions = self.policy.positions(len(codes), torch.Generator().manual_seed(batch_index)).to(codes.device)
        result = likelihood(
            self.prior,
            codes.flatten(1).gather(1, positions),
            positions,
            condition,
            downsampling=self.tokenizer.downsampling,
        )
        return result.nats

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Optimizer and schedule, as `optimization` says."""
        edges = [self.prior.head, *(() if self.prior.code_features is None else self.prior.code_features.children())]
        if isinstance(self.prior.conditioner, TextStream):
            edges.append(self.prior.conditioner.head)
        if isinstance(self.prior.conditioner, SpatialConditioner) and self.prior.conditioner.from_latents is not None:
            edges.append(self.prior.conditioner.from_latents)
        return self.optimization.build(self.prior, edges, self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record the order, the tokenizer and the vocabulary of captions beside the weights."""
        checkpoint[ORDER_KEY] = self.policy.describe()
        checkpoint[TOKENIZER_KEY] = self.tokenizer_fingerprint
        if isinstance(self.prior.conditioner, TextConditioner):
            checkpoint[VOCABULARY_KEY] = self.prior.conditioner.vocabulary

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with another order, another tokenizer or another vocabulary."""
        trained = checkpoint[ORDER_KEY]
        if trained != self.policy.describe():
            raise ValueError(
                f"the checkpoint was trained in the order {trained}, this run has {self.policy.describe()}; "
                "set the order back, or start a new run in another folder"
            )
        words = checkpoint.get(VOCABULARY_KEY)
        if words is not None and words != getattr(self.prior.conditioner, "vocabulary", None):
            raise ValueError(
                "the checkpoint was trained with another vocabulary of captions than this run has; set captions and "
                "source back, with the version of the package tokenizers it was found with, or start a new run"
            )
        self.steps_done = checkpoint["global_step"]
        check_tokenizer(checkpoint[TOKENIZER_KEY], self.tokenizer_fingerprint, where="checkpoint")

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the portable pipeline: `tokenizer/` and `prior/`.

        Args:
            folder: where to write.

        Returns:
            The folder.
        """
        training = self.prior.training
        try:
            return self.pipeline.save_pretrained(folder)
        finally:
            self.prior.train(training)

    def _condition(self, batch: Any) -> Int[Tensor, "b ..."] | None:
        """What the prior is told of a batch: the field of it that its conditioner reads."""
        field = self.prior.conditioner.reads
        if field is None:
            return None
        found: Tensor | None = getattr(batch, field, None)
        if found is None:
            raise ValueError(
                f"this prior is told {field}, and the data gives {', '.join(batch._fields)}; set data.{field}, or "
                "train another prior"
            )
        return found

    def _codes(self, batch: Any) -> Int[Tensor, "b h w"]:
        return self.tokenizer.encode(batch.images) if isinstance(batch, ImageBatch) else batch.codes


def _told_by(
    prior: Callable[..., Prior | MaskedPrior],
    conditioner: Callable[[str], TextConditioner] | Callable[[int, int, int], SpatialConditioner] | None,
    vocabulary: str | None,
    condition_shape: tuple[int, int, int] | None,
) -> Callable[[int, int, int, int], Prior | MaskedPrior]:
    """Give a prior that is told captions or grids its conditioner, made for the data's, in place of class labels."""
    if conditioner is None:
        return prior
    given: tuple[Any, ...] | None = condition_shape if vocabulary is None else (vocabulary,)
    if given is None:
        raise ValueError(
            "a prior with a text conditioner needs the vocabulary of the captions, one with a spatial conditioner the "
            "shape of its grids, and the data gives neither; set data.init_args.captions or data.init_args.condition, "
            "or pass vocabulary= or condition_shape="
        )
    return lambda codebook_size, height, width, _: prior(
        codebook_size, height, width, 0, conditioner=conditioner(*given)
    )


def parts_in_the_end(policy: OrderPolicy) -> list[tuple[OrderPolicy, float]]:
    """What a policy consists of once it changes no more: the parts of a mixture, or one policy.

    Args:
        policy: any.

    Returns:
        Policies that are no mixtures and no annealed ones, with weights that add up to 1; those of weight 0 left out.
    """
    if isinstance(policy, AnnealedOrder):
        return parts_in_the_end(policy.target)
    if not isinstance(policy, MixtureOrder):
        return [(policy, 1.0)]
    weighted = zip(policy.policies, policy.weights, strict=True)
    return [(inner, weight * share) for part, weight in weighted if weight for inner, share in parts_in_the_end(part)]
