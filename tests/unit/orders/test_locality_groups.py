import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.orders import locality_groups, scan_order


def cosine_sizes(cells: int, steps: int) -> list[int]:
    """Group sizes that grow by a cosine, at least one cell each."""
    ends = [math.floor((1 - math.cos(math.pi / 2 * step / steps)) * cells) for step in range(1, steps + 1)]
    sizes, known = [], 0
    for step, end in enumerate(ends):
        size = max(1, min(end - known, cells - known - (steps - step - 1)))
        sizes.append(size if step < steps - 1 else cells - known)
        known += size
    return sizes


def cells_of(positions: torch.Tensor, width: int) -> torch.Tensor:
    return torch.stack((positions // width, positions % width), dim=1).double()


def crowded(positions: torch.Tensor, sizes: list[int], width: int) -> float:
    """Share of cells with another one of their group among their eight neighbours."""
    groups = cells_of(positions, width).split(sizes)
    neighbours = [(torch.cdist(group, group, p=float("inf")) <= 1).sum(1) > 1 for group in groups]  # each is its own
    return torch.cat(neighbours).double().mean().item()


def beside_known(positions: torch.Tensor, sizes: list[int], width: int) -> float:
    """Share of cells, but the first group's, with a neighbour in an earlier group."""
    known, found = torch.empty(0, 2).double(), []
    for group in cells_of(positions, width).split(sizes):
        if len(known):
            found += (torch.cdist(group, known).amin(1) <= 1).tolist()
        known = torch.cat((known, group))
    return sum(found) / len(found)


@st.composite
def grids_and_sizes(draw):
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    sizes, left = [], height * width
    while left:
        sizes.append(draw(st.integers(1, left)))
        left -= sizes[-1]
    return height, width, sizes


@settings(max_examples=60, deadline=None)
@given(grid=grids_and_sizes(), seed=st.integers(0, 2**32 - 1), repulsion=st.integers(0, 4))
def test_every_grid_and_sizes_give_a_permutation_that_the_seed_decides(grid, seed, repulsion):
    height, width, sizes = grid
    positions = locality_groups(height, width, sizes, seed=seed, repulsion=repulsion)
    assert positions.dtype == torch.int64
    assert positions.sort().values.tolist() == list(range(height * width))
    assert torch.equal(positions, locality_groups(height, width, sizes, seed=seed, repulsion=repulsion))


@pytest.mark.parametrize(("height", "width", "steps"), [(8, 8, 12), (16, 16, 32), (16, 16, 20), (6, 20, 16)])
def test_cells_of_a_group_are_further_apart_than_of_random_ones(height, width, steps):
    sizes = cosine_sizes(height * width, steps)
    for seed in range(3):
        ours = crowded(locality_groups(height, width, sizes, seed=seed), sizes, width)
        chance = crowded(scan_order("random", height=height, width=width, seed=seed).positions, sizes, width)
        assert ours < 0.5 * chance


def test_no_early_group_holds_neighbours():
    sizes = cosine_sizes(256, 32)
    early = locality_groups(16, 16, sizes, seed=0).split(sizes)[:16]
    assert all(torch.pdist(cells_of(group, 16)).min() > 2 for group in early if len(group) > 1)


@pytest.mark.parametrize("seed", range(3))
def test_cells_lie_beside_known_ones_more_than_random_or_halton_ones(seed):
    sizes = cosine_sizes(256, 32)
    ours = beside_known(locality_groups(16, 16, sizes, seed=seed), sizes, 16)
    halton = beside_known(scan_order("halton", height=16, width=16).positions, sizes, 16)
    chance = beside_known(scan_order("random", height=16, width=16, seed=seed).positions, sizes, 16)
    assert ours > 0.9
    assert ours > max(chance, halton) + 0.05


def test_groups_of_one_grow_from_one_cell():
    assert beside_known(locality_groups(6, 7, [1] * 42, seed=4), [1] * 42, 7) == 1


def test_another_seed_is_another_order():
    sizes = cosine_sizes(64, 10)
    assert not torch.equal(locality_groups(8, 8, sizes, seed=0), locality_groups(8, 8, sizes, seed=1))


def test_locality_groups_are_golden():
    # A search or a training may have recorded seed and sizes; the stream must not change.
    assert locality_groups(4, 4, [1, 3, 4, 8], seed=1).tolist() == GOLDEN


GOLDEN = [3, 7, 12, 0, 6, 8, 15, 1, 2, 13, 11, 4, 5, 10, 9, 14]


@pytest.mark.parametrize("sizes", [[], [4, 4], [0, 6], [7, -1], [6, 1]])
def test_sizes_must_add_up(sizes):
    with pytest.raises(ValueError, match=rf"add up to the 6 cells of 2 x 3, got .* which add up to {sum(sizes)}; give"):
        locality_groups(2, 3, sizes)


@pytest.mark.parametrize("wrong", [{"repulsion": -1}, {"proximity": -0.5}, {"seed": -1}])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be >= 0 and seed in \[0, 2\*\*32\), got"):
        locality_groups(2, 3, [2, 4], **wrong)
