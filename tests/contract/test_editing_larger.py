"""Pictures larger than trained hang together, and the measure of seams tells when they do not."""

import pytest
import torch
from torch.nn import functional as F

from vqgen.editing import complete_larger, plan_windows, seam_steps, window_map
from vqgen.orders import order_policy, scan_order
from vqgen.prior import Prior
from vqgen.sampling import sample_autoregressive

SIZE, LARGE, CODES = 4, 8, 8


def plain_grids(count: int, generator: torch.Generator) -> torch.Tensor:
    """Pictures of one colour, with a neighbouring colour here and there."""
    colour = torch.randint(1, CODES - 1, (count, 1), generator=generator)
    speck = torch.rand(count, SIZE * SIZE, generator=generator)
    return colour + (speck < 0.05).long() - (speck > 0.95).long()


@pytest.fixture(scope="module")
def prior():
    """Learns in any order that a picture is of one colour, which takes seconds."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    prior, policy = (
        Prior(CODES, SIZE, SIZE, dim=32, depth=2, heads=2),
        order_policy("random-per-sample", height=SIZE, width=SIZE),
    )
    optimizer = torch.optim.AdamW(prior.parameters(), 5e-3)
    for _ in range(120):
        positions = policy.positions(64, generator)
        sequence = plain_grids(64, generator).gather(1, positions)
        loss = F.cross_entropy(prior(sequence, positions).transpose(1, 2), sequence)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.0
    return prior.eval()


def as_images(codes: torch.Tensor) -> torch.Tensor:
    return codes[:, None].float() / CODES


def ratio(codes: torch.Tensor, windows: torch.Tensor) -> float:
    return seam_steps(as_images(codes), windows).ratio


@pytest.mark.parametrize("name", ["hilbert", "spiral-out"])
def test_windows_leave_no_seams_worse_than_one_cell_at_a_time_and_tiles_do(prior, name):
    order = scan_order(name, height=LARGE, width=LARGE)
    nothing = torch.zeros(64, LARGE, LARGE, dtype=torch.int64)
    unknown = torch.ones_like(nothing, dtype=torch.bool)
    plan = plan_windows(order, height=SIZE, width=SIZE)
    windows = window_map(plan, height=LARGE, width=LARGE)
    together = complete_larger(prior, nothing, unknown, order, seed=1)
    singly = complete_larger(prior, nothing, unknown, order, one_by_one=True, seed=1)
    assert ratio(together, windows) < 1.4
    assert ratio(together, windows) < ratio(singly, windows) + 0.25

    small = scan_order(name, height=SIZE, width=SIZE)
    parts = [small.unscan(sample_autoregressive(prior, small.positions, batch_size=64, seed=s)) for s in range(4)]
    tiles = torch.cat((torch.cat(parts[:2], dim=2), torch.cat(parts[2:], dim=2)), dim=1)
    side = torch.arange(LARGE) // SIZE
    squares = side[:, None] * 2 + side[None, :]
    assert ratio(tiles, squares) > 3
    assert ratio(together, squares) < 1.4


def test_a_large_picture_is_of_one_colour_and_goes_on_from_what_is_known(prior):
    order = scan_order("raster", height=LARGE, width=LARGE)
    known = torch.randint(1, CODES - 1, (32, 1, 1)).expand(32, LARGE, LARGE)
    unknown = torch.ones(32, LARGE, LARGE, dtype=torch.bool)
    unknown[:, 2:5, 2:5] = False
    drawn = complete_larger(prior, known, unknown, order, seed=2)
    assert float(((drawn - known).abs() <= 1).float().mean()) > 0.95
