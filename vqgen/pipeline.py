"""The whole of two-stage generation: tokenizer, scan order, prior and sampler, in the order they act.

images -> tokenizer.encode -> codes -> order.scan -> sequence -> prior -> sampler -> sequence -> order.unscan -> codes
-> tokenizer.decode -> images
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vqgen.checkpoint import Portable, read_config
from vqgen.conditioning import Asked, GridOfImages, SpatialConditioner, condition_of
from vqgen.editing import canvas_around, complete_larger, complete_masked, inpaint, order_of_size
from vqgen.metrics.bound import likelihood_bound
from vqgen.metrics.ensemble import EnsembleLikelihood, ensemble_likelihood
from vqgen.metrics.likelihood import Likelihood
from vqgen.metrics.scores import SCORES, Scorer, information, log_likelihoods
from vqgen.orders import OrderPolicy, ScanOrder, order_policy_from_description, scan_order
from vqgen.prior import MaskedPrior, Prior
from vqgen.sampling import (
    CONFIDENCE_ORDERS,
    UNKNOWN,
    compile_for_sampling,
    group_sizes,
    in_precision,
    sample_by_confidence,
    sample_groups,
)
from vqgen.tokenizer import Tokenizer, decode_tiled

Condition = Asked | Float[Tensor, "..."]
OnStep = Callable[[int, Int[Tensor, "b t"]], None]

CONDITION_TOKENIZER = "condition-tokenizer"
"""The folder of a pipeline that holds the tokenizer of conditions, where that is another."""


class Pipeline:
    """A tokenizer and a prior that belong together, and the order(s) the prior was trained in.

    Args:
        tokenizer: images to codes and back.
        prior: models the codes, in visiting order or masked; its grid and codebook fit the tokenizer's.
        order: the policy the prior was trained under, which ties it to the policy's orders unless it takes any; after
            annealing, what it was annealed to (`AnnealedOrder.at`). `RandomPerSample` for a masked prior, which
            has none.
        class_names: names of the class labels, or empty.
        grids: for a prior that is told a grid, what makes it of an image; None for one that is not, or whose grids are
            no codes of images.

    Raises:
        ValueError: if the parts do not fit each other.

    Example:
        >>> from vqgen.orders import order_policy
        >>> from vqgen.quantizers import EMAVectorQuantizer
        >>> from vqgen.tokenizer import Decoder, Encoder
        >>> size = dict(channels=8, multipliers=(1, 2), latent_channels=8)
        >>> tokenizer = Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(codebook_size=16, dim=4))
        >>> prior = Prior(16, height=4, width=4, dim=16, depth=1, heads=2)
        >>> pipeline = Pipeline(tokenizer, prior, order_policy("hilbert", height=4, width=4))
        >>> pipeline.generate(2, seed=1).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prior: Prior | MaskedPrior,
        order: OrderPolicy,
        class_names: Sequence[str] = (),
        *,
        grids: GridOfImages | None = None,
    ) -> None:
        if tokenizer.codebook_size != prior.codebook_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.codebook_size} codes and the prior models {prior.codebook_size}; "
                "give the prior the tokenizer it was trained on"
            )
        if (order.height, order.width) != (prior.height, prior.width):
            raise ValueError(
                f"the order visits a grid of {order.height} x {order.width}, the prior models one of "
                f"{prior.height} x {prior.width}; make the order for the prior's grid"
            )
        if isinstance(prior, MaskedPrior) and not order.takes_any:
            raise ValueError(
                f"a masked prior has no order, got {order.name!r}; pass order_policy('random-per-sample', ...), which "
                "stands for none"
            )
        if class_names and len(class_names) != prior.num_classes:
            raise ValueError(f"the prior has {prior.num_classes} classes, got {len(class_names)} class names")
        self.tokenizer = tokenizer.eval()
        self.prior: Prior | MaskedPrior = prior.eval()
        self.order = order
        self.class_names = tuple(class_names)
        self.grids = grids if grids is None else grids.eval()

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels of the images that are generated."""
        cell = self.tokenizer.downsampling
        return self.prior.height // self.tokenizer.depth * cell, self.prior.width * cell

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return next(self.prior.parameters()).device

    def to(self, device: torch.device | str) -> Pipeline:
        """Move its models; returns the pipeline itself."""
        self.tokenizer.to(device)
        self.prior.to(device)
        if self.grids is not None:
            self.grids.to(device)
        return self

    @classmethod
    def from_pretrained(cls, folder: str | Path, classes: Iterable[type[nn.Module]] = ()) -> Pipeline:
        """Read a pipeline from a folder that holds `tokenizer/` and `prior/`.

        Args:
            folder: what `save_pretrained`, `vqgen fit` or `vqgen quickstart` wrote.
            classes: classes from outside vqgen that the models are made of.

        Returns:
            The pipeline, on the CPU, in evaluation mode.

        Raises:
            FileNotFoundError: if a part is missing.
            ValueError: if a part is damaged, or the prior was trained on the codes of another tokenizer.
        """
        folder = Path(folder)
        metadata = read_config(folder / "prior").get("metadata", {})
        missing = {"order", "tokenizer"} - set(metadata)
        if missing:
            raise ValueError(f"{folder / 'prior'} does not record its {' and '.join(sorted(missing))}; save it again")
        found = read_config(folder / "tokenizer")["fingerprint"]
        check_tokenizer(metadata["tokenizer"], found, where=folder)
        prior = Portable.from_pretrained(folder / "prior", classes)
        if not isinstance(prior, (Prior, MaskedPrior)):
            raise ValueError(f"expected a prior in {folder / 'prior'}, found a {type(prior).__name__}")
        tokenizer = Tokenizer.from_pretrained(folder / "tokenizer", classes)
        grids, described = None, metadata.get("condition")
        if described is not None:
            encoder, there = tokenizer, folder / CONDITION_TOKENIZER
            if described["tokenizer"] != found:
                check_tokenizer(described["tokenizer"], read_config(there)["fingerprint"], where=there)
                encoder = Tokenizer.from_pretrained(there, classes)
            grids = GridOfImages(encoder, described["transform"])
        order = order_policy_from_description(metadata["order"])
        return cls(tokenizer, prior, order, metadata.get("class_names", ()), grids=grids)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write `tokenizer/` and `prior/`; the prior records its order, class names and the tokenizer's fingerprint.

        A prior that is told a grid records too how images become grids, and where that takes another tokenizer, it is
        written to `condition-tokenizer/`.

        Args:
            folder: where to write; a pipeline that is there already is replaced.

        Returns:
            The folder.
        """
        folder = Path(folder)
        fingerprint = self.tokenizer.fingerprint()
        there = folder / "tokenizer"
        if not there.exists() or read_config(there)["fingerprint"] != fingerprint:
            self.tokenizer.save_pretrained(there)
        condition: dict[str, Any] = {} if self.grids is None else {"condition": self.grids.describe()}
        if self.grids is not None and condition["condition"]["tokenizer"] != fingerprint:
            assert isinstance(self.grids.tokenizer, Tokenizer)
            self.grids.tokenizer.save_pretrained(folder / CONDITION_TOKENIZER)
        self.prior.save_pretrained(
            folder / "prior",
            **condition,
            order=self.order.describe(),
            tokenizer=fingerprint,
            class_names=list(self.class_names),
            image_size=list(self.image_size),
        )
        return folder

    @torch.no_grad()
    def generate(
        self,
        count: int,
        condition: Condition = None,
        order: str | ScanOrder | None = None,
        *,
        steps: int | Sequence[int] | None = None,
        schedule: str | Callable[[float], float] = "cosine",
        temperature: float = 1.0,
        choice_temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | Callable[[float], float] = 1.0,
        seed: int = 0,
        batch_size: int = 64,
        prefix: Int[Tensor, "b m"] | None = None,
        on_step: OnStep | None = None,
        best_of: int = 1,
        scorer: str | Scorer | None = None,
    ) -> Float[Tensor, "b c H W"]:
        """Draw images. Image i is decided by (seed, i) and its condition, not by `count` or `batch_size`.

        Args:
            count: how many.
            condition: a class (name or number) or, if the prior is told captions, a prompt: one for all, or one per
                image; grids, or images that they are made of, if it is told a grid: (count, ...), or of size 1 for
                all; or None for none.
            order: the order to draw in; None takes the one the prior was trained in. If it was trained in any, that is
                raster, and `halton`, whose neighbours in time lie far apart, where several cells are drawn a step. Such
                a prior also draws ``most-certain`` or ``most-informative`` cells first, see `sample_by_confidence`.
                A masked prior has none.
            steps: how many steps to draw in, several cells at once, from 1 to the cells to draw; or how many cells at
                each step. None draws one by one, or with a masked prior in 16. Fewer steps than cells take a prior that
                was trained in any order, or a masked one.
            schedule: how cells are spread over steps: ``cosine`` (few at first), ``linear``, or a function, see
                `group_sizes`.
            temperature: >= 0; 0 takes the most probable code.
            choice_temperature: of the choice of cells by a masked prior, see `sample_masked`, whose default it has when
                None; for no other prior.
            top_k: keep the k most probable codes; None keeps all.
            top_p: keep the fewest codes that together reach this probability, in (0, 1]; None keeps all.
            guidance: classifier-free guidance scale, or a function of progress in [0, 1]; 1 is none.
            seed: of the randomness.
            batch_size: how many are drawn at a time, which bounds memory.
            prefix: codes of the first m steps in visiting order, (count, m), to keep; a masked prior has them
                in raster order.
            on_step: called after each step with the number of codes known, less one, and the sequences of the batch
                so far; a masked prior's are in raster order, -1 where unknown.
            best_of: how many are drawn for each image, of which the one that scores best is kept. Image i is then
                decided by (seed, i, best_of).
            scorer: what they are judged by: ``information``, how much likelier the condition makes the image;
                ``likelihood``; or a function of the images and what was asked for, see `vqgen.metrics.Scorer`. None is
                information where there is a condition, and likelihood where there is none.

        Returns:
            (count, c, H, W) in [-1, 1], on the CPU.

        Raises:
            ValueError: if an argument is out of range, or the order or several cells a step are not what the prior
                knows.
        """
        settings: dict[str, Any] = {
            "steps": steps,
            "schedule": schedule,
            "temperature": temperature,
            "choice_temperature": choice_temperature,
            "top_k": top_k,
            "top_p": top_p,
            "guidance": guidance,
            "seed": seed,
            "batch_size": batch_size,
            "on_step": on_step,
        }
        if best_of == 1:
            codes = self.generate_codes(count, condition, order, prefix=prefix, **settings)
            return torch.cat([self.decode(chunk) for chunk in torch.split(codes, batch_size)])
        if best_of < 1 or count < 1:
            raise ValueError(f"count and best_of must be >= 1, got count={count} and best_of={best_of}")
        told = self.labels(condition, count)
        codes = self.generate_codes(
            count * best_of,
            None if told is None else told.repeat_interleave(best_of, dim=0),
            order,
            prefix=None if prefix is None else prefix.repeat_interleave(best_of, dim=0),
            **settings,
        )
        asked = [condition] * count if isinstance(condition, (int, str)) else condition
        if isinstance(asked, Tensor):
            asked = asked.expand(count, *asked.shape[1:]).repeat_interleave(best_of, dim=0)
        elif asked is not None:
            asked = [each for each in asked for _ in range(best_of)]
        scores = self.score(codes, asked, scorer, order=order, batch_size=batch_size)
        best = scores.view(count, best_of).argmax(dim=1)
        codes = codes.view(count, best_of, *codes.shape[1:])[torch.arange(count), best]
        return torch.cat([self.decode(chunk) for chunk in torch.split(codes, batch_size)])

    @torch.no_grad()
    def score(
        self,
        codes: Int[Tensor, "b h w"],
        condition: Condition = None,
        scorer: str | Scorer | None = None,
        *,
        order: str | ScanOrder | None = None,
        batch_size: int = 64,
    ) -> Float[Tensor, " b"]:
        """Judge codes by the prior, or their images by something else, as `generate(best_of=...)` does.

        Args:
            codes: (b, h, w) int64.
            condition: as in `generate`.
            scorer: as in `generate`.
            order: to take the likelihood in; as in `generate`, and the default in place of one by confidence.
            batch_size: how many are judged at a time.

        Returns:
            (b,) scores, higher is better, on the CPU.

        Raises:
            ValueError: if the scorer is unknown, lacks a condition to judge by, or gives another number of scores.
        """
        if scorer is not None and not isinstance(scorer, str):
            found = []
            for start in range(0, len(codes), batch_size):
                part = condition if condition is None or isinstance(condition, (int, str)) else condition[start:]
                chunk = codes[start : start + batch_size]
                listed = [part] * len(chunk) if isinstance(part, (int, str)) else part
                scores = scorer(self.decode(chunk), None if listed is None else listed[: len(chunk)])
                if scores.shape != (len(chunk),):
                    raise ValueError(
                        f"expected the scorer to give one number for each of {len(chunk)} images, got shape "
                        f"{tuple(scores.shape)}"
                    )
                found.append(scores.detach().float().cpu())
            return torch.cat(found)
        name = scorer or ("likelihood" if condition is None else "information")
        if name not in SCORES or (name == "information" and condition is None):
            raise ValueError(
                f"scorer must be {' or '.join(SCORES)}, or a function, and information needs a condition; got {name!r} "
                f"and condition={condition!r}"
            )
        told = self.labels(condition, len(codes))
        if isinstance(self.prior, MaskedPrior):
            positions = None
        else:
            positions = self.resolve_order(None if order in CONFIDENCE_ORDERS else order).positions
        options: dict[str, Any] = {"positions": positions, "batch_size": batch_size}
        if name == "likelihood" or told is None:
            return log_likelihoods(self.prior, codes, told, **options).float().cpu()
        return information(self.prior, codes, told, **options).float().cpu()

    def generate_codes(
        self,
        count: int,
        condition: Condition = None,
        order: str | ScanOrder | None = None,
        *,
        steps: int | Sequence[int] | None = None,
        schedule: str | Callable[[float], float] = "cosine",
        temperature: float = 1.0,
        choice_temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | Callable[[float], float] = 1.0,
        seed: int = 0,
        batch_size: int = 64,
        prefix: Int[Tensor, "b m"] | None = None,
        on_step: OnStep | None = None,
    ) -> Int[Tensor, "b h w"]:
        """Draw code grids; `generate` without the decoder.

        Args:
            count: how many.
            condition: as in `generate`.
            order: as in `generate`.
            steps: as in `generate`.
            schedule: as in `generate`.
            temperature: as in `generate`.
            choice_temperature: as in `generate`.
            top_k: as in `generate`.
            top_p: as in `generate`.
            guidance: as in `generate`.
            seed: as in `generate`.
            batch_size: as in `generate`.
            prefix: as in `generate`.
            on_step: as in `generate`.

        Returns:
            (count, h, w) int64, on the CPU.

        Raises:
            ValueError: as `generate`.
        """
        if count < 1 or batch_size < 1:
            raise ValueError(f"count and batch_size must be >= 1, got count={count}, batch_size={batch_size}")
        if prefix is not None and len(prefix) != count:
            raise ValueError(f"expected one prefix per image, {count}, got {len(prefix)}")
        if isinstance(self.prior, MaskedPrior):
            self._check_no_order(order)
            options = {"choice_temperature": choice_temperature, "steps": steps}
            return self._generate_masked(
                self.prior,
                self.labels(condition, count),
                count=count,
                prefix=prefix,
                on_step=on_step,
                batch_size=batch_size,
                schedule=schedule,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                guidance=guidance,
                seed=seed,
                **{name: value for name, value in options.items() if value is not None},
            )
        if choice_temperature is not None:
            raise ValueError(
                "choice_temperature is for masked priors, which choose the cells to keep, got "
                f"{choice_temperature} and a prior that draws in an order; leave it out"
            )
        prior = self.prior
        groups = self._groups(steps, schedule, 0 if prefix is None else prefix.shape[1])
        by_confidence, several = isinstance(order, str) and order in CONFIDENCE_ORDERS, max(groups, default=1) > 1
        if not self.order.takes_any and (by_confidence or several):
            names = ", ".join(repr(known.name) for known in self.order.orders)
            raise ValueError(
                f"this prior was trained in the order {names} and knows no other next cell, got "
                + (f"order={order!r}" if by_confidence else f"{len(groups)} steps for {sum(groups)} cells")
                + "; leave it out, or train a prior with order random-per-sample"
            )
        if by_confidence and prefix is not None:
            raise ValueError(f"a prefix is the beginning of an order, got one with order={order!r}; name a scan order")
        labels = self.labels(condition, count)
        visited = None if by_confidence else self.resolve_order(order, several=several)
        grids = []
        for start in range(0, count, batch_size):
            stop = min(count, start + batch_size)
            arguments: dict[str, Any] = {
                "condition": None if labels is None else labels[start:stop],
                "batch_size": stop - start,
                "groups": groups,
                "prefix": None if prefix is None else prefix[start:stop].to(self.device),
                "temperature": temperature,
                "top_k": top_k,
                "top_p": top_p,
                "guidance": guidance,
                "seed": seed,
                "first_index": start,
                "on_step": on_step,
            }
            if visited is None:
                drawn = sample_by_confidence(prior, order=str(order), **arguments)
                codes = drawn.codes(height=prior.height, width=prior.width)
            else:
                codes = visited.unscan(sample_groups(prior, visited.positions.to(self.device), **arguments))
            grids.append(codes.cpu())
        return torch.cat(grids)

    def _generate_masked(
        self,
        prior: MaskedPrior,
        labels: Int[Tensor, ...] | None,
        *,
        count: int,
        prefix: Int[Tensor, "b m"] | None,
        on_step: OnStep | None,
        **sampling: Any,
    ) -> Int[Tensor, "b h w"]:
        codes = torch.zeros(count, prior.height * prior.width, dtype=torch.int64, device=self.device)
        unknown = torch.ones_like(codes, dtype=torch.bool)
        if prefix is not None:
            if prefix.shape[1] > codes.shape[1]:
                raise ValueError(
                    f"the prefix must have at most one code per cell, {codes.shape[1]}, got {prefix.shape[1]}"
                )
            codes[:, : prefix.shape[1]], unknown[:, : prefix.shape[1]] = prefix.to(self.device), False

        def tell(step: int, grids: Int[Tensor, "b h w"]) -> None:
            if on_step is not None:
                on_step(int((grids != UNKNOWN).flatten(1).sum(dim=1).min()) - 1, grids.flatten(1))

        grids, hidden = (tensor.view(-1, prior.height, prior.width) for tensor in (codes, unknown))
        return complete_masked(prior, grids, hidden, labels, on_step=tell, **sampling).cpu()

    def _check_no_order(self, order: object) -> None:
        if isinstance(self.prior, MaskedPrior) and order is not None:
            name = repr(order.name if isinstance(order, ScanOrder) else order)
            raise ValueError(
                f"this prior is a masked one and has no order: it fills in the cells it is most certain of first, got "
                f"order={name}; leave it out"
            )

    def _in_order(self, what: str) -> Prior:
        if isinstance(self.prior, MaskedPrior):
            raise ValueError(
                f"{what} takes a prior that draws in an order, and this one is masked; train a Prior for it"
            )
        return self.prior

    def compile(self) -> Pipeline:
        """A pipeline that draws with compiled kernels, faster one image at a time; see `compile_for_sampling`."""
        prior = compile_for_sampling(self._in_order("compile"))
        return Pipeline(self.tokenizer, prior, self.order, self.class_names, grids=self.grids)

    def in_precision(self, precision: str) -> Pipeline:
        """A pipeline whose prior draws in ``fp32``, ``bf16`` or ``int8``; see `vqgen.sampling.in_precision`."""
        prior = in_precision(self.prior, precision)
        return Pipeline(self.tokenizer, prior, self.order, self.class_names, grids=self.grids)

    def decode(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c H W"]:
        """Images of codes, (b, c, H, W) in [-1, 1], on the CPU."""
        return self.tokenizer.decode(codes.to(self.device)).cpu()

    def reconstruct(self, images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        """Images through the tokenizer and back, (b, c, H, W) in [-1, 1], on the CPU."""
        return self.decode(self.tokenizer.encode(images.to(self.device)))

    @overload
    def log_likelihood(  # type: ignore[overload-overlap]  # a name is a sequence of names to the checker
        self,
        images: Float[Tensor, "b c H W"],
        condition: Condition = None,
        order: str | ScanOrder | None = None,
    ) -> Likelihood: ...

    @overload
    def log_likelihood(
        self,
        images: Float[Tensor, "b c H W"],
        condition: Condition = None,
        *,
        order: int | Sequence[str | ScanOrder],
    ) -> EnsembleLikelihood: ...

    def log_likelihood(
        self,
        images: Float[Tensor, "b c H W"],
        condition: Condition = None,
        order: str | ScanOrder | int | Sequence[str | ScanOrder] | None = None,
    ) -> Likelihood | EnsembleLikelihood:
        """Exact likelihood of the images' codes: nats per code, bits per dimension, and the map per cell.

        A masked prior has none: what comes back is then a `LikelihoodBound`, estimated in 32 passes, of drawing the
        codes one by one in a random order.

        Args:
            images: (b, c, H, W) in [-1, 1].
            condition: as in `generate`.
            order: as in `generate`; or several orders, or a number of random ones, for their mixture.

        Returns:
            The likelihood of the code part; what the decoder leaves out is not in it. Of several orders, that of each
            and of the mixture.

        Raises:
            ValueError: if the images do not fit the prior's grid, or an order is not one the prior knows.
        """
        if isinstance(self.prior, MaskedPrior):
            self._check_no_order(order)
            return likelihood_bound(
                self.prior,
                self.tokenizer.encode(images.to(self.device)),
                self.labels(condition, len(images)),
                downsampling=self.tokenizer.downsampling,
                channels=images.shape[1],
                depth=self.tokenizer.depth,
                passes=32,
            )
        several = isinstance(order, (int, Sequence)) and not isinstance(order, str)
        if isinstance(order, int):
            grid = {"height": self.prior.height, "width": self.prior.width}
            order = [scan_order("random", **grid, seed=seed) for seed in range(order)]
        listed = order if isinstance(order, Sequence) and not isinstance(order, str) else [order]
        found = ensemble_likelihood(
            self.prior,
            self.tokenizer.encode(images.to(self.device)),
            [self.resolve_order(each) for each in listed],
            self.labels(condition, len(images)),
            downsampling=self.tokenizer.downsampling,
            channels=images.shape[1],
            depth=self.tokenizer.depth,
        )
        return found if several else found.members[0]

    def inpaint(
        self,
        images: Float[Tensor, "b c H W"],
        mask: Bool[Tensor, ...],
        condition: Condition = None,
        order: str | ScanOrder | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Float[Tensor, "b c H W"]:
        """Draw what a mask hides, given the rest: known cells first, then the unknown ones in the order given.

        Args:
            images: (b, c, H, W) in [-1, 1], of the trained size or larger.
            mask: (b, H, W), or (H, W) for all, True where a pixel is unknown; unknown pixels are not read.
            condition: as in `generate`.
            order: as in `generate` (most-certain and most-informative for images of the trained size only); by name, or
                of the images' grid.
            steps: draw what is unknown in so many steps, several cells at once; one cell a step when None, or in 16 if
                the prior is masked. For images of the trained size, and a prior that takes any order or is masked.
            seed: of the randomness; image i depends on (seed, i), its known pixels, mask and condition.
            options: margin, fill, blend and batch_size of `vqgen.editing.inpaint`; temperature, top_k, top_p, guidance.

        Returns:
            (b, c, H, W) in [-1, 1], on the CPU; known pixels are kept exactly, unless `blend="none"`.

        Raises:
            ValueError: if the prior has one order, and the known cells are not its beginning; or as `generate`.
        """
        self._check_no_order(order)
        by_confidence = order if isinstance(order, str) and order in CONFIDENCE_ORDERS else None
        order = None if by_confidence else order  # the known cells then come in the prior's own
        visited, own = self._order_on((images.shape[2], images.shape[3]), order, several=steps is not None)
        labels = self.labels(condition, len(images))
        options = {"own": own, "by_confidence": by_confidence, "steps": steps, "seed": seed, **options}
        return inpaint(self.tokenizer, self.prior, images, mask, visited, labels, **options)

    def edit(
        self, images: Float[Tensor, "b c H W"], mask: Bool[Tensor, ...], condition: Condition, **options: Any
    ) -> Float[Tensor, "b c H W"]:
        """Draw the masked part as another class: `inpaint` with a condition, and guided towards it.

        Args:
            images: as in `inpaint`.
            mask: as in `inpaint`.
            condition: what the masked part is to become; not None.
            options: as in `inpaint`; guidance is 3 unless given.

        Returns:
            As `inpaint`.

        Raises:
            ValueError: if there is no condition, or as `inpaint`.
        """
        if condition is None:
            raise ValueError("expected a condition to edit towards, got none; pass a class, or use inpaint")
        return self.inpaint(images, mask, condition, **{"guidance": 3.0, **options})

    def outpaint(
        self,
        images: Float[Tensor, "b c H W"],
        *,
        top: int = 0,
        bottom: int = 0,
        left: int = 0,
        right: int = 0,
        **options: Any,
    ) -> Float[Tensor, "b c H_ W_"]:
        """Draw on beyond the edges of images.

        Args:
            images: (b, c, H, W) in [-1, 1], smaller than the result.
            top: pixels to add above.
            bottom: pixels to add below.
            left: pixels to add to the left.
            right: pixels to add to the right.
            options: as in `inpaint`, condition and order too.

        Returns:
            (b, c, top + H + bottom, left + W + right) in [-1, 1], on the CPU; at least of the trained size.

        Raises:
            ValueError: as `inpaint`, or if the result is smaller than the trained size.
        """
        canvas, mask = canvas_around(images, top=top, bottom=bottom, left=left, right=right)
        return self.inpaint(canvas, mask, **options)

    @torch.no_grad()
    def generate_larger(
        self,
        count: int,
        *,
        height: int,
        width: int,
        condition: Condition = None,
        order: str | ScanOrder | None = None,
        margin: int | None = None,
        seed: int = 0,
        batch_size: int = 64,
        **sampling: Any,
    ) -> Float[Tensor, "b c H W"]:
        """Draw images larger than those trained on, each cell from what is known in a window of the trained size.

        Args:
            count: how many.
            height: rows of pixels; a multiple of the tokenizer's downsampling, at least the trained height.
            width: columns of pixels, likewise.
            condition: as in `generate`.
            order: by name, or of the large grid. A prior with one order takes it by its name, if windows allow it:
                raster, column, snake and diagonal do.
            margin: cells that each cell sees to every side at least, as in `vqgen.editing.plan_windows`.
            seed: of the randomness; image i depends on (seed, i) and its condition.
            batch_size: how many are drawn at a time.
            sampling: temperature, top_k, top_p and guidance, as in `generate`.

        Returns:
            (count, c, height, width) in [-1, 1], on the CPU.

        Raises:
            ValueError: if the size does not fit, or the prior's order does not allow it.
        """
        if count < 1:
            raise ValueError(f"count must be >= 1, got {count}")
        prior = self._in_order("generate_larger")
        visited, own = self._order_on((height, width), order)
        grid = torch.zeros(count, visited.height, visited.width, dtype=torch.int64, device=self.device)
        codes = complete_larger(
            prior,
            grid,
            torch.ones_like(grid, dtype=torch.bool),
            visited,
            self.labels(condition, count),
            own=own,
            margin=margin,
            depth=self.tokenizer.depth,
            seed=seed,
            batch_size=batch_size,
            **sampling,
        )
        return torch.cat([decode_tiled(self.tokenizer, part).cpu() for part in torch.split(codes, batch_size)])

    def resolve_order(self, order: str | ScanOrder | None, *, several: bool = False) -> ScanOrder:
        """The order to use, refusing one that the prior was not trained in.

        Args:
            order: a name, the path of an order file, an order, or None for the prior's own: the most frequent of
                several, and raster if it was trained in none twice (halton, with several).
            several: whether several cells are drawn at a time.

        Returns:
            The order.

        Raises:
            FileNotFoundError: if there is no such order file.
            ValueError: naming the order asked for and those trained in.
        """
        if order is None and self.order.takes_any and several:
            order = "halton"  # cells of a group do not see each other: far apart, they need to least
        if order is None:
            return self.order.default
        if isinstance(order, str):
            trained = next((known for known in self.order.orders if known.name == order), None)
            order = trained or scan_order(order, height=self.prior.height, width=self.prior.width)
        if not self.order.takes_any and not self.order.knows(order):
            names = [repr(known.name) for known in self.order.orders]
            raise ValueError(
                f"this prior was trained in the order{'s' if len(names) > 1 else ''} {', '.join(names)} and knows no "
                f"other, got {order.name!r}; leave the order out, or train a prior with order random-per-sample"
            )
        if (order.height, order.width) != (self.prior.height, self.prior.width):
            raise ValueError(
                f"the order visits a grid of {order.height} x {order.width}, the prior models one of "
                f"{self.prior.height} x {self.prior.width}; make the order for the prior's grid"
            )
        return order

    def _order_on(
        self, image_size: tuple[int, int], order: str | ScanOrder | None, *, several: bool = False
    ) -> tuple[ScanOrder, ScanOrder | None]:
        """The order in which to visit the grid of images of a size, and the one that ties the prior, if one does."""
        if image_size == self.image_size:
            visited = self.resolve_order(order, several=several and self.order.takes_any)
            return visited, None if self.order.takes_any else visited
        if isinstance(self.prior.conditioner, SpatialConditioner):
            raise ValueError(
                f"a prior that is told a grid draws images of the trained size, {self.image_size[0]} x "
                f"{self.image_size[1]} pixels, got {image_size[0]} x {image_size[1]}; its condition is of that size"
            )
        height, width = self.tokenizer.grid_size(image_size)
        default = next((known for known in self.order.orders if known.name == order), self.order.default)
        visited = order_of_size(order, default, height=height, width=width)
        return visited, None if self.order.takes_any else default

    def _groups(
        self, steps: int | Sequence[int] | None, schedule: str | Callable[[float], float], known: int
    ) -> tuple[int, ...]:
        """How many cells to draw at each step, when some are known."""
        cells = max(self.prior.height * self.prior.width - known, 0)
        if steps is None:
            return (1,) * cells
        return group_sizes(cells, steps, schedule) if isinstance(steps, int) else tuple(steps)

    def labels(self, condition: Condition, count: int) -> Int[Tensor, "b ..."] | None:
        """A condition as the prior takes it: class labels, the tokens of prompts, or whatever else it is told.

        Args:
            condition: a class name or number or a prompt, or one per image; for a prior that is told a grid, the grids,
                or the images they are made of, (b, c, H, W) in [-1, 1], of size 1 for all; or None.
            count: number of images.

        Returns:
            (count, ...) int64 on the pipeline's device, or None.

        Raises:
            ValueError: if a class is unknown, images are not what the prior is told, or the number of conditions
                differs from `count`.
        """
        if isinstance(condition, Tensor) and condition.is_floating_point():
            condition = self._grids_of(condition)
        found = condition_of(condition, count, self.prior.conditioner, self.class_names)
        return None if found is None else found.to(self.device)

    def _grids_of(self, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b r s"]:
        if self.grids is None:
            raise ValueError(
                "this prior is not told a grid that is made of an image, got images as the condition; pass what it is "
                f"told (its conditioner is a {type(self.prior.conditioner).__name__})"
            )
        if images.shape[2:] != self.image_size:
            height, width = self.image_size
            raise ValueError(
                f"expected images of {height} x {width} pixels as the condition, got {images.shape[2]} x "
                f"{images.shape[3]}; scale and cut them, as vqgen.data.resize.resize_and_crop does"
            )
        return self.grids.encode(images.to(self.grids.device))


def check_tokenizer(expected: str, found: str, *, where: str | Path) -> None:
    """Refuse a tokenizer other than the one a prior or a set of codes was made with.

    Args:
        expected: fingerprint recorded with the prior.
        found: fingerprint of the tokenizer that is there.
        where: what to name in the error.

    Raises:
        ValueError: naming both, if they differ.
    """
    if expected != found:
        raise ValueError(
            f"{where}: the prior was trained on the codes of tokenizer {expected}, but the tokenizer here is {found}; "
            "put back the tokenizer it was trained on, or train the prior again"
        )
