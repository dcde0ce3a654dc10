"""Every pattern is dense attention under its mask: for every kernel and order, with a cache and without."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import AuxOutput, BlockMask

from vqgen.attention import (
    Attention,
    BigBird,
    BigBird1D,
    ColumnAttention,
    Convolution,
    DenseAttention,
    Either,
    Fixed,
    Fixed1D,
    Local1D,
    Local2D,
    Pattern,
    Places,
    RowAttention,
    Strided,
    Strided1D,
    dense_causal_attention,
    flex,
)
from vqgen.attention.pattern_reach import PatternReach
from vqgen.orders import scan_order
from vqgen.prior import Prior

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
GRIDS = [((1, 1), 0), ((3, 5), 3), ((9, 11), 0)]
"""Grids, and rows that a condition puts before the start."""
ORDERS = ["raster", "hilbert", "random", "one per sample"]


class Leap(Pattern):
    """A user's own: cells so many rows up or down."""

    def __init__(self, *, rows: int = 2, kernel: str | None = None) -> None:
        super().__init__(kernel=kernel)
        self.rows = rows

    def allowed(self, query: Tensor, key: Tensor, *, height: int, width: int) -> Tensor:
        return (query - key).abs() == self.rows * width


def patterns(kernel: str | None = None) -> list[Pattern]:
    return [
        Local1D(block=3, memory=2, kernel=kernel),
        Local2D(block=2, margin=1, kernel=kernel),
        Strided(kernel=kernel),
        Strided1D(stride=3, kernel=kernel),
        Fixed(kernel=kernel),
        Fixed1D(block=4, summary=2, kernel=kernel),
        RowAttention(kernel=kernel),
        ColumnAttention(kernel=kernel),
        Convolution(kernel_size=3, kernel=kernel),
        BigBird(block=2, kernel=kernel),
        BigBird1D(block=3, kernel=kernel),
        Either(patterns=(RowAttention(), Local2D()), kernel=kernel),
        Leap(kernel=kernel),
    ]


def said(pattern: Pattern) -> Callable[[str], str]:
    return lambda text: f"{type(pattern).__name__}: {text}"


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def order_of(name: str, height: int, width: int) -> Tensor:
    """(1, n), or (2, n) for one order per sample."""
    if name == "one per sample":
        return torch.stack([torch.randperm(height * width) for _ in range(2)])
    return scan_order(name, height=height, width=width, seed=3).positions[None]


def places_of(order: Tensor, height: int, width: int, prefix: int = 0) -> Places:
    step = F.pad(torch.arange(height * width, device=order.device), (prefix, 0), value=-1)
    return Places(
        target=F.pad(order, (prefix, 0), value=-1),
        content=F.pad(order[:, :-1], (prefix + 1, 0), value=-1),
        first=0,
        height=height,
        width=width,
        step=step,
        content_step=(step - 1).clamp_min(-1),
        prefix=prefix,
    )


def mask_of(pattern: Pattern, order: Tensor, height: int, width: int, prefix: int = 0) -> Tensor:
    """(b, m, m) what each row sees, one pair at a time."""
    table, rows = pattern.table(height=height, width=width), order.shape[1] + prefix
    mask = torch.zeros(len(order), rows, rows, dtype=torch.bool)
    for image, visited in enumerate(order):
        for row in range(rows):
            mask[image, row, : min(row, prefix) + 1] = True
            step = row - prefix
            if step > 0 and pattern.space == "cells":
                mask[image, row, prefix + 1 : row + 1] = table[visited[step], visited[:step]]
            elif step > 0:
                mask[image, row, prefix + 1 : row + 1] = table[step, :step]
    return mask


def vectors(rows: int, count: int = 3, width: int = 8) -> list[Tensor]:
    return [torch.randn(2, 2, rows, width, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("grid", "prefix"), GRIDS, ids=str)
@pytest.mark.parametrize("kernel", ["masked", "blocks"])
def test_outputs_and_gradients_are_those_of_dense_attention_under_the_mask(
    device: str, kernel: str, grid: tuple[int, int], order: str, prefix: int
) -> None:
    torch.manual_seed(0)
    positions = order_of(order, *grid)
    for pattern in patterns(kernel):
        leaves = [each.requires_grad_() for each in vectors(grid[0] * grid[1] + prefix)]
        gradient = torch.randn_like(leaves[0])
        mask = mask_of(pattern, positions, *grid, prefix)[:, None]
        expected = F.scaled_dot_product_attention(*leaves, attn_mask=mask)
        moved = [each.detach().to(device).requires_grad_() for each in leaves]
        found = pattern(*moved, pattern.reach(places_of(positions.to(device), *grid, prefix)))
        torch.testing.assert_close(found.cpu(), expected, msg=said(pattern))
        wanted = torch.autograd.grad(expected, leaves, gradient)
        for here, there in zip(torch.autograd.grad(found, moved, gradient.to(device)), wanted, strict=True):
            torch.testing.assert_close(here.cpu(), there, msg=said(pattern))


def flex_attention_written_out(
    query: Tensor, keys: Tensor, values: Tensor, *, block_mask: BlockMask, return_aux: object = None
) -> object:
    """What FlexAttention computes, from the blocks it is told to look at and the pairs that meet in them."""
    rows, width = query.shape[2], keys.shape[2]
    looked_at = torch.zeros(-(-rows // flex.BLOCK), -(-width // flex.BLOCK), dtype=torch.bool)
    for row, count in enumerate(block_mask.kv_num_blocks[0, 0].tolist()):
        looked_at[row, block_mask.kv_indices[0, 0, row, :count].long()] = True
    looked_at = looked_at.repeat_interleave(flex.BLOCK, 0).repeat_interleave(flex.BLOCK, 1)[:rows, :width]
    image, one = torch.arange(len(query))[:, None, None], torch.arange(rows)[:, None]
    meets = looked_at & block_mask.mask_mod(image, torch.zeros(()).long(), one, torch.arange(width)[None])
    scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
    scores = scores.masked_fill(~meets.expand(len(query), -1, -1)[:, None], -torch.inf)
    log_sum = scores.logsumexp(-1)
    mixed = (scores - log_sum.clamp_min(-1e30)[..., None]).exp() @ values
    return mixed if return_aux is None else (mixed, AuxOutput(lse=log_sum))


@pytest.mark.parametrize("sums", [False, True], ids=["one part", "parts"])
@pytest.mark.parametrize("order", ["hilbert", "one per sample"])
@pytest.mark.parametrize(("grid", "prefix"), [((3, 5), 3), ((13, 14), 0)], ids=str)
def test_flex_is_told_the_blocks_and_pairs_of_the_pattern(
    grid: tuple[int, int], order: str, prefix: int, sums: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flex, "compiled_flex_attention", lambda: flex_attention_written_out)
    monkeypatch.setattr(flex, "flex_tells_sums", lambda device: sums)
    positions = order_of(order, *grid)
    for masked, pattern in zip(patterns("masked"), patterns("flex"), strict=True):
        given = [each.float() for each in vectors(grid[0] * grid[1] + prefix)]
        reach = pattern.reach(places_of(positions, *grid, prefix))
        expected = masked(*given, masked.reach(places_of(positions, *grid, prefix)))
        torch.testing.assert_close(pattern(*given, reach), expected, atol=1e-5, rtol=1e-5, msg=said(pattern))
        assert isinstance(reach, PatternReach)
        assert len(reach.flex.parts) == (len(pattern.parts(height=grid[0], width=grid[1])) if sums else 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention trains on GPUs")
@pytest.mark.parametrize("order", ["hilbert", "one per sample"])
def test_flex_on_a_gpu_gives_outputs_and_gradients_of_the_masked_kernel(order: str) -> None:
    torch.manual_seed(0)
    positions = order_of(order, 13, 14).cuda()
    for masked, pattern in zip(patterns("masked"), patterns("flex"), strict=True):
        given = [each.float().cuda().requires_grad_() for each in vectors(182 + 3, width=16)]
        places, gradient = places_of(positions, 13, 14, 3), torch.randn_like(given[0])
        results = []
        for each in (masked, pattern):
            out = each(*given, each.reach(places))
            results.append((out, *torch.autograd.grad(out, given, gradient)))
        for here, there in zip(*results, strict=True):
            torch.testing.assert_close(there, here, atol=2e-2, rtol=2e-2, msg=said(pattern))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("grid", "prefix"), GRIDS, ids=str)
def test_rows_on_top_of_a_cache_see_what_a_whole_pass_shows_them(
    device: str, grid: tuple[int, int], order: str, prefix: int
) -> None:
    positions = order_of(order, *grid).to(device)
    for pattern in patterns("masked"):
        query, keys, values = (each.to(device) for each in vectors(positions.shape[1] + prefix))
        reach = pattern.reach(places_of(positions, *grid, prefix))
        whole = pattern(query, keys, values, reach)
        for first, stop in [(row, row + 1) for row in range(prefix, query.shape[2], 1 + query.shape[2] // 20)]:
            seen = (query[:, :, first:stop], keys[:, :, :stop], values[:, :, :stop])
            torch.testing.assert_close(pattern(*seen, reach.cut(first, stop - first)), whole[:, :, first:stop])
        half = whole.shape[2] // 2
        cut = reach.cut(half, whole.shape[2] - half)
        torch.testing.assert_close(pattern(query[:, :, half:], keys, values, cut), whole[:, :, half:])


def test_a_step_reads_no_more_rows_than_the_pattern_allows() -> None:
    order = torch.randperm(64)[None]
    reach = RowAttention().reach(places_of(order, 8, 8))
    for row in range(1, 64):
        rows = reach.cut(row, 1).rows[0].tolist()
        cells = [int(order[0, each - 1]) for each in rows if each]
        assert rows[0] == 0
        assert cells == [cell for cell in order[0, :row].tolist() if cell // 8 == int(order[0, row]) // 8]


def lively_prior(attention: Attention | list[Attention] | None, **settings: object) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 4, 4, 3, dim=16, depth=2, heads=2, label_dropout=0.0, attention=attention, **settings)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def alternations() -> list[Attention | list[Attention]]:
    return [*patterns("blocks"), [RowAttention(), ColumnAttention()], [Strided(), DenseAttention()]]


@pytest.mark.parametrize("order", ["hilbert", "one per sample"])
@pytest.mark.parametrize("attention", alternations(), ids=str)
def test_priors_are_causal_and_draw_with_a_cache_as_without(
    device: str, attention: Attention | list[Attention], order: str
) -> None:
    prior, labels = lively_prior(attention).to(device), torch.tensor([0, 2], device=device)
    positions, sequence = order_of(order, 4, 4).to(device), torch.randint(20, (2, 16), device=device)
    positions = positions if len(positions) > 1 else positions[0]
    full = prior(sequence, positions, labels)
    cache, located = prior.new_cache(2), prior.locate(positions, batch_size=2)
    steps = [prior.advance(sequence[:, max(step - 1, 0) : step], located, cache, labels) for step in range(16)]
    torch.testing.assert_close(torch.cat(steps, dim=1), full, atol=1e-4, rtol=0.0)
    changed = sequence.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 20
    torch.testing.assert_close(prior(changed, positions, labels)[:, :10], full[:, :10])
    cache = prior.new_cache(2)  # a few known codes, then several questions at once
    prior.advance(sequence[:, :5], positions, cache, labels)
    cells = positions[..., 8:12]
    asked = prior.advance(sequence[:, 5:8], positions, cache, labels, cells=cells)
    for question in range(4):
        cell = cells[..., question : question + 1]
        rest = torch.cat((positions[..., :8], cell), dim=-1)
        expected = prior(torch.cat((sequence[:, :8], sequence[:, :1]), dim=1), rest, labels)[:, -1]
        torch.testing.assert_close(asked[:, question], expected, atol=1e-4, rtol=0.0)


def test_layers_take_turns() -> None:
    sequence, positions = torch.randint(20, (1, 16)), torch.arange(16)
    prior = lively_prior([RowAttention(), ColumnAttention()], signals=("target",))
    logits = prior(sequence, positions)
    heard = []
    for cell in range(16):
        other = sequence.clone()
        other[0, cell] = (other[0, cell] + 1) % 20
        if not torch.equal(prior(other, positions)[0, 14], logits[0, 14]):
            heard.append(cell)
    # The cells above cell 14, what their rows held when they were read, and its own row.
    assert heard == [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13]


def test_a_pattern_of_ones_own_travels_with_the_prior(tmp_path: Path) -> None:
    prior = lively_prior([Leap(rows=1), Local2D(block=2)]).eval()
    sequence, positions = torch.randint(20, (2, 16)), torch.randperm(16)
    expected = prior(sequence, positions)
    prior.save_pretrained(tmp_path / "prior")
    with pytest.raises(ValueError, match="Leap"):
        Prior.from_pretrained(tmp_path / "prior")
    loaded = Prior.from_pretrained(tmp_path / "prior", classes=[Leap])
    assert loaded.attention[0].rows == 1
    torch.testing.assert_close(loaded(sequence, positions), expected)


def test_signals_of_two_rows_a_step_are_refused() -> None:
    with pytest.raises(ValueError, match=r"RowAttention needs signals .* and these take 2; use other signals"):
        Prior(20, 4, 4, dim=16, depth=1, heads=2, signals=("instruction",), attention=RowAttention())
    sequence, positions = torch.randint(20, (1, 16)), torch.randperm(16)
    prior = lively_prior(Local2D(block=2), signals=("double",))
    cache = prior.new_cache(1)
    cached = torch.cat(
        [prior.advance(sequence[:, :7], positions, cache), prior.advance(sequence[:, 7:8], positions, cache)], 1
    )
    torch.testing.assert_close(cached, prior(sequence[:, :9], positions), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_serve_low_precision_and_autocast(device: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    order = torch.randperm(64, device=device)[None]
    query, keys, values = (each.to(device, torch.float32).requires_grad_() for each in vectors(64))
    results = []
    for kernel in ("masked", "blocks"):
        pattern = Strided(kernel=kernel)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = pattern(query, keys, values, pattern.reach(places_of(order, 8, 8)))
        assert out.dtype == dtype
        results.append((out, *torch.autograd.grad(out.float().sum() + (out.float() ** 2).sum(), (query, keys, values))))
    for masked, blocks in zip(*results, strict=True):
        torch.testing.assert_close(
            blocks.float(), masked.float(), atol=0.05 if dtype == torch.bfloat16 else 1e-5, rtol=0.05
        )


def test_a_pattern_cannot_do_without_places() -> None:
    with pytest.raises(ValueError, match=r"Strided needs to know where rows sit, got NoneType"):
        Strided()(*vectors(4))
    assert torch.equal(DenseAttention()(*(found := vectors(4))), dense_causal_attention(*found))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RowAttention(kernel="fast"), "kernel must be one of masked, blocks, flex or None, got 'fast'"),
        (lambda: Local1D(block=0), "block must be >= 1 and memory >= 0, got block=0"),
        (lambda: Local2D(margin=-1), "block must be >= 1 and margin >= 0"),
        (lambda: Strided(stride=0), "stride must be >= 1 or None, got 0"),
        (lambda: Fixed(summary=0), "summary >= 1"),
        (lambda: Convolution(kernel_size=4), "kernel_size must be odd and >= 1, got 4"),
        (lambda: BigBird(window=-1), "window, random and global_tiles >= 0"),
        (lambda: Either(patterns=()), "got 0 over nothing"),
        (lambda: Either(patterns=(Strided(), Strided1D())), "got 2 over cells and steps"),
    ],
)
def test_settings_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
