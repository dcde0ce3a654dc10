"""Draw codes a group at a time: fewer passes than codes, for priors that were trained on random orders."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.prior import Prior, check_positions
from vqgen.sampling.filtering import check_filters, draw_codes, filter_logits
from vqgen.sampling.guided import GuidedPrior
from vqgen.sampling.noise import image_uniforms
from vqgen.sampling.request import Guidance, batch_size_of, begin_sequence, guidance_scales


def sample_groups(
    prior: Prior,
    positions: Int[Tensor, "b n"] | Int[Tensor, " n"],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
    groups: Sequence[int],
    batch_size: int | None = None,
    prefix: Int[Tensor, "b m"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: Guidance = 1.0,
    seed: int = 0,
    first_index: int = 0,
    on_step: Callable[[int, Int[Tensor, "b t"]], None] | None = None,
) -> Int[Tensor, "b n"]:
    """Draw sequences from a prior, the codes of a group at once, each given all codes of earlier groups.

    The codes of a group do not see each other: each comes from exactly the distribution that the prior has of its cell
    given what was known, as a full forward pass with that cell next would say. A prior knows it of any cell if it was
    trained on random orders and is told the target; one that was trained on a single order does not, whatever it
    answers.

    A pass costs one row for each code of the group before (but one, whose keys and values are there already) and one
    for each cell of the group. The cache then holds what drawing them one by one would have left there, so groups of 1
    are `sample_autoregressive`, and mixtures are possible.

    Args:
        prior: the prior, on any device; neither its mode nor its weights are changed.
        positions: (n,) or (b, n) raster index of the cell visited at each step; n may be less than the whole grid.
        condition: (b,) int64 labels, -1 for none; or None.
        groups: sizes of the groups in visiting order, each >= 1; they sum to the steps that are not in the prefix. See
            `group_sizes`.
        batch_size: b, number of images; needed only where positions, condition and prefix do not tell it.
        prefix: (b, m) int64 codes of the first m <= n steps, which are kept; the rest is completed.
        temperature: >= 0; 0 always takes the most likely code.
        top_k: keep the k most likely codes, or all when None.
        top_p: keep the most likely codes that hold this share of the probability, or all when None.
        guidance: scale of classifier-free guidance, constant or as a function of the progress in [0, 1], which is the
            same for a whole group: (codes known before it) / (n - 1).
        seed: of all randomness; the number that decides step t of image i is that of (seed, i, t), however the steps
            are grouped.
        first_index: index of the first image, >= 0.
        on_step: called as ``on_step(t, sequence[:, :t + 1])`` after each group, t its last step; copy what you keep.

    Returns:
        (b, n) int64 codes in visiting order, on the prior's device.

    Raises:
        ValueError: when sizes contradict each other, an argument is out of its range, guidance has no condition to work
            with, or the prior's logits are not finite.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)
        >>> positions, labels = torch.randperm(6), torch.tensor([0, 3])
        >>> sample_groups(prior, positions, labels, groups=(1, 2, 3), guidance=2.0).shape
        torch.Size([2, 6])

    Source: decoding several cells of a random order at once, Pang et al., RandAR (2412.01827); here at
    length n, without tokens that ask.
    """
    check_filters(temperature=temperature, top_k=top_k, top_p=top_p)
    check_positions(positions, cells=prior.height * prior.width)
    batch, steps = batch_size_of(batch_size, positions, condition, prefix), positions.shape[-1]
    sequence, known = begin_sequence(prior, prefix, batch_size=batch, steps=steps)
    check_groups(groups, steps=steps, known=known)
    starts = list(accumulate(groups, initial=known))[:-1]
    scales = guidance_scales(guidance, starts, steps=steps, condition=condition)
    if not starts:
        return sequence

    device = sequence.device
    positions = positions.to(device)
    condition = None if condition is None else condition.to(device)
    uniforms = image_uniforms(seed, first_index=first_index, batch_size=batch, steps=steps, device=device)
    with torch.inference_mode():
        guided = any(scale != 1.0 for scale in scales)
        rows = [before + size - 1 for before, size in zip((known + 1, *groups), groups, strict=False)]
        asked = GuidedPrior(prior, condition, batch_size=batch, guided=guided, rows=rows)
        located, previous = asked.locate(positions), sequence[:, :known]
        in_groups = asked.locate_groups(positions, groups=groups, known=known)
        for start, size, scale in zip(starts, groups, scales, strict=True):
            stop = start + size
            if size == 1 or start in in_groups:
                logits = asked.logits(previous, in_groups.get(start, located), scale=scale)
            else:
                logits = asked.logits(previous, positions, scale=scale, cells=positions[..., start:stop])
            kept = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            sequence[:, start:stop] = draw_codes(kept, uniforms[:, start:stop])
            previous = sequence[:, start:stop]
            if on_step is not None:
                on_step(stop - 1, sequence[:, :stop])
    asked.check_finite()
    return sequence


def check_groups(groups: Sequence[int], *, steps: int, known: int) -> None:
    """Refuse groups that do not fill what is to be drawn.

    Args:
        groups: their sizes.
        steps: n, steps in all.
        known: steps whose codes are known.

    Raises:
        ValueError: when a group is empty, or they sum to another number.

    Example:
        >>> check_groups((1, 3), steps=6, known=2)
    """
    if any(size < 1 for size in groups) or sum(groups) != steps - known:
        raise ValueError(
            f"groups must be sizes >= 1 that sum to the {steps - known} steps to draw, got {len(groups)} groups of "
            f"{sum(groups)} in all, the smallest {min(groups, default=0)}; see group_sizes"
        )
