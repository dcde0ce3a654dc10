import pytest
import torch

from vqgen.orders.permutation import check_grid, check_permutation


def check(positions: torch.Tensor) -> None:
    check_permutation(positions, name="mine", height=2, width=3)


def test_check_permutation_accepts_any_permutation():
    check(torch.tensor([5, 3, 1, 0, 2, 4]))


@pytest.mark.parametrize(
    ("positions", "fault"),
    [
        ([0, 1, 2, 3, 4, 4], r"it visits 4 more than once, 5 never; return each raster index"),
        ([0, 1, 2, 3, 4], r"it visits 5 never; return"),
        ([1, 2, 3, 4, 5, 6], r"it visits 6 outside 0\.\.5, 0 never; return"),
        ([-1, 0, 1, 2, 3, 4, 5], r"it visits -1 outside 0\.\.5; return"),
        ([7, 7, 0, 1, 2, 3], r"it visits 7 outside 0\.\.5, 4, 5 never; return"),
        ([], r"it visits 0, 1, 2, 3, 4 and 1 others never; return"),
    ],
)
def test_check_permutation_says_what_is_wrong(positions, fault):
    with pytest.raises(ValueError, match=f"'mine' is not a permutation of the 6 cells of 2 x 3: {fault}"):
        check(torch.tensor(positions, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_check_permutation_refuses_what_is_no_integer(dtype):
    with pytest.raises(TypeError, match=f"order 'mine' must give integers, got {dtype}; return each raster index"):
        check(torch.ones(6).to(dtype))


def test_check_permutation_refuses_a_grid_of_positions():
    with pytest.raises(
        ValueError, match=r"one raster index per step, shape \(6,\) on 2 x 3, got shape \(2, 3\); return"
    ):
        check(torch.arange(6).reshape(2, 3))


def test_check_grid_says_what_to_pass():
    with pytest.raises(ValueError, match="must be >= 1, got height=1, width=0; pass the number of cells each way"):
        check_grid(1, 0)
