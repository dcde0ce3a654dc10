"""Draw codes one step at a time, in the order that `positions` says."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.attention import packed_for_inference
from vqgen.conditioning import NO_LABEL
from vqgen.prior import Prior, check_positions
from vqgen.sampling.filtering import check_filters, draw_codes, filter_logits
from vqgen.sampling.guidance import guide
from vqgen.sampling.noise import image_uniforms


def sample_autoregressive(
    prior: Prior,
    positions: Int[Tensor, "b n"] | Int[Tensor, " n"],
    condition: Int[Tensor, " b"] | None = None,
    *,
    batch_size: int | None = None,
    prefix: Int[Tensor, "b m"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: float | Callable[[float], float] = 1.0,
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
    check_filters(temperature=temperature, top_k=top_k, top_p=top_p)
    check_positions(positions, cells=prior.height * prior.width)
    batch = _batch_size(batch_size, positions, condition, prefix)
    known, steps = 0 if prefix is None else prefix.shape[1], positions.shape[-1]
    if known > steps:
        raise ValueError(f"the prefix must have at most one code per step, got {known} codes for {steps} steps")
    scales = [_scale(guidance, step, steps) for step in range(known, steps)]
    guided = any(scale != 1.0 for scale in scales)
    if guided and condition is None:
        raise ValueError("guidance needs a condition to move towards, got none; pass condition=labels, or guidance=1.0")

    device = prior.code_embedding.weight.device
    sequence = torch.empty(batch, steps, dtype=torch.int64, device=device)
    if prefix is not None:
        _check_codes(prefix, prior.codebook_size)
        sequence[:, :known] = prefix.to(device)
    if known == steps:
        return sequence
    positions = positions.to(device)
    condition = None if condition is None else condition.to(device)
    if guided and condition is not None:  # one batch of twice the size: with the condition, then without
        condition = torch.cat((condition, torch.full_like(condition, NO_LABEL)))
        positions = positions.repeat(2, 1) if positions.ndim == 2 else positions
    uniforms = image_uniforms(seed, first_index=first_index, batch_size=batch, steps=steps, device=device)
    rows = 2 * batch if guided else batch

    with torch.inference_mode():
        model = prior if prior.compiled else packed_for_inference(prior, rows=rows)
        located, cache = model.locate(positions, batch_size=rows), model.new_cache(rows)
        checksum = torch.zeros(
            (), device=device
        )  # looked at once, after the loop: looking at every step would stall the device
        previous = sequence[:, :known]
        for step in range(known, steps):
            rows_in = previous.repeat(2, 1) if guided else previous
            logits = model.advance(rows_in, located, cache, condition, last_only=True)[:, 0]
            logits = logits if logits.dtype == torch.float64 else logits.float()
            if guided:
                conditional, unconditional = logits.chunk(2)
                logits = guide(conditional, unconditional, scales[step - known])
            checksum = checksum + logits.sum()
            kept = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            sequence[:, step] = draw_codes(kept, uniforms[:, step])
            previous = sequence[:, step : step + 1]
            if on_step is not None:
                on_step(step, sequence[:, : step + 1])
    if not bool(checksum.isfinite()):
        raise ValueError(
            "expected finite logits from the prior, got NaN or infinity; check that its training did not diverge"
        )
    return sequence


def _batch_size(given: int | None, positions: Tensor, condition: Tensor | None, prefix: Tensor | None) -> int:
    sizes = {"batch_size": given, "positions": positions.shape[0] if positions.ndim == 2 else None}
    sizes["condition"] = None if condition is None else condition.shape[0]
    sizes["prefix"] = None if prefix is None else prefix.shape[0]
    told = {name: size for name, size in sizes.items() if size is not None}
    if not told:
        raise ValueError(
            "expected to be told how many images to draw, got neither a batch nor a number; pass batch_size="
        )
    if len(set(told.values())) > 1:
        raise ValueError(
            "expected one number of images, got " + ", ".join(f"{size} from {name}" for name, size in told.items())
        )
    if min(told.values()) < 1:
        raise ValueError("batch_size must be >= 1, got 0")
    return next(iter(told.values()))


def _check_codes(codes: Tensor, codebook_size: int) -> None:
    if codes.numel() > 0 and (int(codes.min()) < 0 or int(codes.max()) >= codebook_size):
        raise ValueError(
            f"the prefix must hold codes from 0 to {codebook_size - 1}, got {int(codes.min())} to {int(codes.max())}; "
            "use codes of the tokenizer the prior was trained on"
        )


def _scale(guidance: float | Callable[[float], float], step: int, steps: int) -> float:
    return float(guidance(step / max(steps - 1, 1))) if callable(guidance) else float(guidance)
