"""Draw codes from a masked prior: all hidden cells at every step, of which the most certain are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.attention import packed_for_inference
from vqgen.conditioning import NO_LABEL
from vqgen.prior import MaskedPrior
from vqgen.sampling.filtering import check_filters, draw_codes, filter_logits
from vqgen.sampling.groups import check_groups
from vqgen.sampling.guidance import guide
from vqgen.sampling.noise import image_uniforms
from vqgen.sampling.request import Guidance, batch_size_of, guidance_scales
from vqgen.sampling.schedule import Schedule, group_sizes

UNKNOWN = -1
"""Stands, in a grid of codes, for a code that is to be drawn."""


def sample_masked(
    prior: MaskedPrior,
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    steps: int | Sequence[int] = 16,
    schedule: str | Schedule = "cosine",
    batch_size: int | None = None,
    known: Int[Tensor, "b h w"] | None = None,
    temperature: float = 1.0,
    choice_temperature: float = 4.5,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: Guidance = 1.0,
    seed: int = 0,
    first_index: int = 0,
    on_step: Callable[[int, Int[Tensor, "b h w"]], None] | None = None,
) -> Int[Tensor, "b h w"]:
    """Draw grids in few steps, each of which fills in the cells that the prior is most certain of.

    At each step the prior predicts every hidden cell, a code is drawn for each, and those of the highest
    ``log p(code drawn) + choice_temperature * (1 - progress) * g`` are kept, with g Gumbel noise; the others are hidden
    again and drawn anew at the next step. The noise lets less certain cells in at first, for variety, and fades to
    nothing at the last step. A step costs a pass over the whole grid.

    Image i has the index ``first_index + i``, and its randomness comes from (seed, index) alone, so what is drawn does
    not depend on the batch, as in `sample_autoregressive`.

    Args:
        prior: the prior, on any device; neither its mode nor its weights are changed.
        condition: (b, ...) int64, -1 for none; or None.
        steps: in how many steps, or how many cells to keep at each. Of an image with fewer unknown cells than steps,
            one cell a step.
        schedule: how cells are spread over steps, see `group_sizes`; ``cosine`` keeps few at first.
        batch_size: b, number of images; needed only where condition and known do not tell it.
        known: (b, h, w) int64 codes to keep, -1 in the cells to draw; None to draw all.
        temperature: of the codes' distributions, >= 0; 0 always takes the most likely code.
        choice_temperature: of the choice of cells, >= 0; 0 keeps exactly the most certain.
        top_k: keep the k most likely codes, or all when None.
        top_p: keep the most likely codes that hold this share of the probability, or all when None.
        guidance: scale of classifier-free guidance, constant or as a function of the progress in [0, 1], which is
            (codes known before the step) / (n - 1); 1 is none and costs nothing.
        seed: of all randomness.
        first_index: index of the first image, >= 0.
        on_step: called as ``on_step(t, codes)`` after step t with the grids so far, -1 where hidden; copy what you
            keep.

    Returns:
        (b, h, w) int64 codes, on the prior's device.

    Raises:
        ValueError: when sizes contradict each other, an argument is out of its range, guidance has no condition to work
            with, or the prior's logits are not finite.

    Example:
        >>> import torch
        >>> prior = MaskedPrior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)
        >>> known = torch.tensor([[[5, -1, -1], [-1, -1, 7]]])
        >>> drawn = sample_masked(prior, torch.tensor([3]), known=known, steps=2, guidance=2.0)
        >>> drawn[known >= 0].tolist(), drawn.shape
        ([5, 7], torch.Size([1, 2, 3]))

    Source: Chang et al., MaskGIT (2202.04200), section 3.2, whose published code has the choice temperature of 4.5 and
    its linear fall.
    """
    check_filters(temperature=temperature, top_k=top_k, top_p=top_p)
    if not 0.0 <= choice_temperature < float("inf"):
        raise ValueError(
            f"choice_temperature must be >= 0 and finite, got {choice_temperature}; 0 keeps the most certain cells"
        )
    batch, cells = batch_size_of(batch_size, None, condition, known), prior.height * prior.width
    codes, hidden = _begin(prior, known, batch_size=batch)
    counts = hidden.sum(dim=1).tolist()
    plans = {count: _plan(count, steps, schedule, guidance, cells=cells, condition=condition) for count in set(counts)}
    passes = max(len(plan.sizes) for plan in plans.values())
    device = codes.device
    if passes == 0:
        return codes.view(-1, prior.height, prior.width)

    def by_image(values: Callable[[_Plan], Sequence[float]]) -> Tensor:
        """(b, passes), 0 where an image is done."""
        padded = {count: [*values(plan), *[0] * (passes - len(plan.sizes))] for count, plan in plans.items()}
        return torch.tensor([padded[count] for count in counts], device=device)

    sizes, scales = by_image(lambda plan: plan.sizes), by_image(lambda plan: plan.scales)
    warmth = by_image(lambda plan: [choice_temperature * (1.0 - share) for share in plan.progress])
    left = [max(count - sum(plans[count].sizes[:step]) for count in counts) for step in range(passes)]
    numbers = 2 * cells * passes
    noise = image_uniforms(seed, first_index=first_index, batch_size=batch, steps=numbers, device=device)
    noise = noise.view(batch, passes, 2, cells)  # for the codes, then for the choice of cells
    with torch.inference_mode():
        asked = _Asked(prior, condition, batch_size=batch, guided=any(plan.guided for plan in plans.values()))
        for step in range(passes):
            # The hidden cells, by raster index; where another image has more of them, some that are not hidden.
            asked_cells = hidden.int().sort(dim=1, descending=True, stable=True).indices[:, : left[step]]
            eligible = hidden.gather(1, asked_cells)
            logits = asked.logits(codes, hidden, asked_cells, scales[:, step])  # (b, q, k)
            for_codes, for_cells = noise[:, step].gather(2, asked_cells[:, None].expand(-1, 2, -1)).unbind(1)
            drawn = draw_codes(filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p), for_codes)
            certainty = logits.log_softmax(dim=-1).gather(2, drawn[..., None])[..., 0].to(noise.dtype)
            gumbel = -(-for_cells.clamp_min(torch.finfo(noise.dtype).tiny).log()).log()
            score = (certainty + warmth[:, step, None] * gumbel).masked_fill(~eligible, -torch.inf)
            places = score.argsort(dim=1, descending=True, stable=True)
            rank = torch.empty_like(places).scatter_(
                1, places, torch.arange(left[step], device=device).expand_as(places)
            )
            chosen = rank < sizes[:, step, None]
            codes.scatter_(1, asked_cells, torch.where(chosen, drawn, codes.gather(1, asked_cells)))
            hidden.scatter_(1, asked_cells, eligible & ~chosen)
            if on_step is not None:
                on_step(step, codes.masked_fill(hidden, UNKNOWN).view(-1, prior.height, prior.width))
    asked.check_finite()
    return codes.view(-1, prior.height, prior.width)


@dataclass(frozen=True)
class _Plan:
    """What happens at each step to an image with a number of unknown cells."""

    sizes: tuple[int, ...]
    scales: tuple[float, ...]

    @property
    def progress(self) -> list[float]:
        """Share of the steps done after each."""
        return [(step + 1) / len(self.sizes) for step in range(len(self.sizes))]

    @property
    def guided(self) -> bool:
        """Whether any step takes a second pass."""
        return any(scale != 1.0 for scale in self.scales)


def _plan(
    unknown: int,
    steps: int | Sequence[int],
    schedule: str | Schedule,
    guidance: Guidance,
    *,
    cells: int,
    condition: Tensor | None,
) -> _Plan:
    if not isinstance(steps, int):
        check_groups(steps, steps=cells, known=cells - unknown)
        sizes = tuple(steps)
    elif steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}; 1 draws all codes at once, the number of cells one by one")
    else:
        sizes = group_sizes(unknown, min(steps, unknown), schedule) if unknown else ()
    starts = list(accumulate(sizes, initial=cells - unknown))[:-1]
    return _Plan(sizes, tuple(guidance_scales(guidance, starts, steps=cells, condition=condition)))


def _begin(
    prior: MaskedPrior, known: Int[Tensor, "b h w"] | None, *, batch_size: int
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Room for the codes with the known ones in place, and which cells are to be drawn."""
    device, grid = prior.code_embedding.weight.device, (prior.height, prior.width)
    if known is None:
        codes = torch.zeros(batch_size, prior.height * prior.width, dtype=torch.int64, device=device)
        return codes, torch.ones_like(codes, dtype=torch.bool)
    if known.shape[1:] != grid:
        raise ValueError(f"known must be grids of {grid[0]} x {grid[1]} codes, got {tuple(known.shape[1:])}")
    least, most = int(known.min()), int(known.max())
    if least < UNKNOWN or most >= prior.codebook_size:
        raise ValueError(
            f"known must hold codes from 0 to {prior.codebook_size - 1}, or {UNKNOWN} where a code is to be drawn, got "
            f"{least} to {most}; use codes of the tokenizer the prior was trained on"
        )
    codes = known.flatten(1).to(device, copy=True)
    return codes, codes == UNKNOWN


class _Asked:
    """A masked prior at work on one batch: what it is told, the second pass of guidance, and whether it is sound."""

    def __init__(
        self, prior: MaskedPrior, condition: Int[Tensor, "b *shape"] | None, *, batch_size: int, guided: bool
    ) -> None:
        device = prior.code_embedding.weight.device
        condition = None if condition is None else condition.to(device)
        if guided and condition is not None:  # with the condition, then without
            condition = torch.cat((condition, torch.full_like(condition, NO_LABEL)))
        self.guided = guided
        self.grid = (prior.height, prior.width)
        self.prior = packed_for_inference(prior, rows=2 * batch_size * prior.height * prior.width, kernel="plain")
        self.told = self.prior.conditioner(condition, 2 * batch_size if guided else batch_size)
        # Looked at once, at the end: looking at every step would stall the device.
        self.checksum = torch.zeros((), device=device)

    def logits(
        self,
        codes: Int[Tensor, "b n"],
        hidden: Bool[Tensor, "b n"],
        cells: Int[Tensor, "b q"],
        scale: Float[Tensor, " b"],
    ) -> Float[Tensor, "b q k"]:
        """Guided logits of cells; float32, or float64 of a prior in that precision."""
        if self.guided:
            codes, hidden, cells = (tensor.repeat(2, 1) for tensor in (codes, hidden, cells))
        logits = self.prior(codes.view(-1, *self.grid), hidden.view(-1, *self.grid), self.told, cells=cells)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.guided:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, scale[:, None, None].to(logits.dtype))
        self.checksum = self.checksum + logits.sum()
        return logits

    def check_finite(self) -> None:
        """Refuse what was drawn from logits that are not finite."""
        if not bool(self.checksum.isfinite()):
            raise ValueError(
                "expected finite logits from the prior, got NaN or infinity; check that its training did not diverge"
            )
