"""Draw codes one step at a time, in the order that `positions` says."""

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor

from vqgen.prior import Prior
from vqgen.sampling.groups import sample_groups
from vqgen.sampling.request import Guidance


def sample_autoregressive(
    prior: Prior,
    positions: Int[Tensor, "b n"] | Int[Tensor, " n"],
    condition: Int[Tensor, "b *shape"] | None = None,
    *,
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
    """Draw sequences from a prior, each code from its distribution given all codes before it.

    Image i of the batch has the index ``first_index + i``, and its randomness comes from (seed, index) alone: 8 images
    in one call, or one at a time, or as part of 50,000, are drawn with the same noise. The logits of different batch
    sizes still differ in their last bits, as libraries sum in another order, so an image can change where a number
    falls on the very edge between two codes: about once in 100,000 codes in fp32, practically never with
    ``prior.double()``.

    Args:
        prior: the prior, on any device; neither its mode nor its weights are changed.
        positions: (n,) or (b, n) raster index of the cell visited at each step; n may be less than the whole grid.
        condition: (b,) int64 labels, -1 for none; or None.
        batch_size: b, number of images; needed only where positions, condition and prefix do not tell it.
        prefix: (b, m) int64 codes of the first m <= n steps, which are kept; the rest is completed.
        temperature: >= 0; 0 always takes the most likely code.
        top_k: keep the k most likely codes, or all when None.
        top_p: keep the most likely codes that hold this share of the probability, or all when None.
        guidance: scale of classifier-free guidance, constant or as a function of the progress in [0, 1] (see
            `guidance_ramp`); 1 is none and costs nothing, anything else costs a second pass, taken in the same batch.
        seed: of all randomness.
        first_index: index of the first image, >= 0.
        on_step: called as ``on_step(t, sequence[:, :t + 1])`` after each code drawn; copy what you keep.

    Returns:
        (b, n) int64 codes in visiting order, on the prior's device.

    Raises:
        ValueError: when sizes contradict each other, an argument is out of its range, guidance has no condition to work
            with, or the prior's logits are not finite.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)
        >>> positions, labels = torch.arange(6), torch.tensor([0, 3])
        >>> both = sample_autoregressive(prior, positions, labels, top_k=8, guidance=2.0, seed=1)
        >>> second = sample_autoregressive(prior, positions, labels[1:], top_k=8, guidance=2.0, seed=1, first_index=1)
        >>> both.shape, bool(torch.equal(both[1:], second))
        (torch.Size([2, 6]), True)
    """
    known = 0 if prefix is None else prefix.shape[1]
    return sample_groups(
        prior,
        positions,
        condition,
        groups=(1,) * (positions.shape[-1] - known),
        batch_size=batch_size,
        prefix=prefix,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        guidance=guidance,
        seed=seed,
        first_index=first_index,
        on_step=on_step,
    )
