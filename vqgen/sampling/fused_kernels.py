"""The two Triton kernels that a fused block is made of; imported where there is a Triton, see `fused.py`.

Weights are asked for before a kernel waits for the one before it (`gdc_wait`), where the GPU lets kernels overlap.
"""

# mypy: ignore-errors
import inspect

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


def kernel(function):
    """``triton.jit`` of the function as it is written, without what checks types around it."""
    return triton.jit(inspect.unwrap(function))


@kernel
def multiply_rows(
    rows,  # (COUNT, INNER)
    weight,  # (outputs, INNER), or (2 outputs, INNER) where gated
    bias,  # (outputs,)
    gain,  # (INNER,) of the normalisation
    shift,  # (INNER,) likewise
    residual,  # (COUNT, outputs)
    out,  # (COUNT, outputs)
    outputs,
    COUNT: tl.constexpr,
    INNER: tl.constexpr,
    SPAN: tl.constexpr,  # INNER, rounded up to a power of two
    BLOCK: tl.constexpr,  # outputs of one program
    NORM: tl.constexpr,  # "", "rms" or "layer"
    EPSILON: tl.constexpr,
    ACTIVATION: tl.constexpr,  # "", "gelu" or "gated"
    BIASED: tl.constexpr,
    ADDED: tl.constexpr,
    EXACT: tl.constexpr,  # the type that sums are taken in
    OVERLAP: tl.constexpr,
):
    """``residual + act(norm(rows) @ weight.T + bias)`` for a few rows: each weight is read once, by one program."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inner = tl.arange(0, SPAN)
    known, within = inner < INNER, at < outputs
    both = within[:, None] & known[None, :]
    tile = tl.load(weight + at[:, None] * INNER + inner[None, :], mask=both, other=0.0)
    if ACTIVATION == "gated":
        second = tl.load(weight + (outputs + at)[:, None] * INNER + inner[None, :], mask=both, other=0.0)
    if NORM != "":
        scale = tl.load(gain + inner, mask=known, other=0.0).to(EXACT)
    if NORM == "layer":
        offset = tl.load(shift + inner, mask=known, other=0.0).to(EXACT)
    if BIASED:
        start = tl.load(bias + at, mask=within, other=0.0).to(EXACT)
    if OVERLAP:
        gdc_wait()
        gdc_launch_dependents()
    for number in tl.static_range(COUNT):
        row = tl.load(rows + number * INNER + inner, mask=known, other=0.0).to(EXACT)
        if NORM == "rms":
            row = row / tl.sqrt(tl.sum(row * row, axis=0) / INNER + EPSILON) * scale
        if NORM == "layer":
            centred = tl.where(known, row - tl.sum(row, axis=0) / INNER, 0.0)
            row = centred / tl.sqrt(tl.sum(centred * centred, axis=0) / INNER + EPSILON) * scale + offset
        found = tl.sum(tile.to(EXACT) * row[None, :], axis=1)
        if BIASED:
            found += start
        if ACTIVATION == "gelu":
            found = 0.5 * found * (1.0 + tl.erf(found / tl.sqrt(tl.full((1,), 2.0, EXACT))))
        if ACTIVATION == "gated":
            found = found / (1.0 + tl.exp(-found)) * tl.sum(second.to(EXACT) * row[None, :], axis=1)
        if ADDED:
            found += tl.load(residual + number * outputs + at, mask=within, other=0.0).to(EXACT)
        tl.store(out + number * outputs + at, found.to(out.dtype.element_ty), mask=within)


@kernel
def turned(
    row, partner, known, cosine, signed_sine, NORMALISED: tl.constexpr, ROTATED: tl.constexpr, WIDTH: tl.constexpr
):
    """Queries or keys (m, e), normalised and rotated; ``partner`` holds each feature's partner of the rotation."""
    if NORMALISED:
        mean = tl.sum(row, axis=1)[:, None] / WIDTH
        centred = tl.where(known[None, :], row - mean, 0.0)
        deviation = tl.sqrt(tl.sum(centred * centred, axis=1)[:, None] / WIDTH + 1e-6)
        row = centred / deviation
        partner = (partner - mean) / deviation
    if ROTATED:
        row = row * cosine + partner * signed_sine
    return row


@kernel
def attend_rows(
    mixed,  # (b, COUNT, 3, HEADS, WIDTH) queries, keys and values of the new rows
    cosine,  # (b or 1, COUNT, 2, 1, WIDTH)
    signed_sine,
    keys,  # (b, HEADS, steps, WIDTH)
    values,
    visible,  # (COUNT, steps)
    places,  # (COUNT,) where in the cache the new rows go, one after the other
    out,  # (b, COUNT, HEADS, WIDTH)
    steps,
    rotation_stride,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    SPAN: tl.constexpr,  # WIDTH, rounded up to a power of two
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,  # COUNT, rounded up to a power of two
    BLOCK: tl.constexpr,  # cached rows read at a time
    NORMALISED: tl.constexpr,
    ROTATED: tl.constexpr,
    EXACT: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """One new row of one head: its key and value go into the cache, and what the row sees of it is mixed."""
    head, image, number = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    feature, new, some = tl.arange(0, SPAN), tl.arange(0, ROWS), tl.arange(0, BLOCK)
    known, taken = feature < WIDTH, new < COUNT
    both = taken[:, None] & known[None, :]
    cached = (image * HEADS + head) * steps * WIDTH
    if OVERLAP:
        gdc_wait()
        gdc_launch_dependents()
    held = tl.load(places)

    # The query is a tile of one row, made as the keys are.
    partner = (feature + WIDTH - WIDTH // 2) % WIDTH  # half the width before it, around the end
    mine = mixed + ((image * COUNT + number) * 3 * HEADS + head) * WIDTH
    query = tl.load(mine + feature, mask=known, other=0.0).to(EXACT)[None, :]
    of_query = tl.load(mine + partner, mask=known, other=0.0).to(EXACT)[None, :]
    theirs = mixed + ((image * COUNT + new[:, None]) * 3 * HEADS + HEADS + head) * WIDTH
    key = tl.load(theirs + feature[None, :], mask=both, other=0.0).to(EXACT)
    of_key = tl.load(theirs + partner[None, :], mask=both, other=0.0).to(EXACT)
    value = tl.load(theirs + HEADS * WIDTH + feature[None, :], mask=both, other=0.0).to(EXACT)
    if ROTATED:
        angle = image * rotation_stride + 2 * number * WIDTH + feature[None, :]
        angles = image * rotation_stride + (2 * new[:, None] + 1) * WIDTH + feature[None, :]
        query_cosine = tl.load(cosine + angle, mask=known[None, :], other=0.0).to(EXACT)
        query_sine = tl.load(signed_sine + angle, mask=known[None, :], other=0.0).to(EXACT)
        key_cosine = tl.load(cosine + angles, mask=both, other=0.0).to(EXACT)
        key_sine = tl.load(signed_sine + angles, mask=both, other=0.0).to(EXACT)
    else:
        query_cosine, query_sine, key_cosine, key_sine = query, query, key, key
    query = turned(query, of_query, known, query_cosine, query_sine, NORMALISED, ROTATED, WIDTH)
    key = turned(key, of_key, known, key_cosine, key_sine, NORMALISED, ROTATED, WIDTH)
    query = tl.where(known[None, :], query, 0.0) / tl.sqrt(tl.full((1, 1), WIDTH, EXACT))
    key = tl.where(both, key, 0.0).to(keys.dtype.element_ty)

    # Other rows of the pass write their own; what this one sees of them it works out by itself.
    place = cached + (held + new[:, None]) * WIDTH + feature[None, :]
    own = both & (new[:, None] == number)
    tl.store(keys + place, key, mask=own)
    tl.store(values + place, value.to(values.dtype.element_ty), mask=own)

    seen = tl.load(visible + number * steps + held + new, mask=taken, other=0) != 0
    scores = tl.where(seen, tl.sum(key.to(EXACT) * query, axis=1), float("-inf"))
    top = tl.max(scores, axis=0)
    weights = tl.exp(scores - top)
    total = tl.sum(weights, axis=0)
    mixture = tl.sum(weights[:, None] * value, axis=0)
    for first in tl.range(0, held, BLOCK):
        row = first + some
        there = row < held
        within = there[:, None] & known[None, :]
        old_place = cached + row[:, None] * WIDTH + feature[None, :]
        old_key = tl.load(keys + old_place, mask=within, other=0.0).to(EXACT)
        old_value = tl.load(values + old_place, mask=within, other=0.0).to(EXACT)
        old_seen = tl.load(visible + number * steps + row, mask=there, other=0) != 0
        old_scores = tl.where(old_seen, tl.sum(old_key * query, axis=1), float("-inf"))
        higher = tl.maximum(top, tl.max(old_scores, axis=0))
        old_weights = tl.exp(old_scores - higher)
        shrink = tl.exp(top - higher)
        total = total * shrink + tl.sum(old_weights, axis=0)
        mixture = mixture * shrink + tl.sum(old_weights[:, None] * old_value, axis=0)
        top = higher
    result = (mixture / total).to(out.dtype.element_ty)
    tl.store(out + ((image * COUNT + number) * HEADS + head) * WIDTH + feature, result, mask=known)
