import pytest
import torch

from vqgen.editing import plan_windows, seam_steps, window_map
from vqgen.orders import scan_order


def smooth(seed: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Sums of waves that have no place they prefer."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frequencies = (torch.rand(24, 6, 2, 1, 1, generator=generator) - 0.5) * 0.4
    phases = torch.rand(24, 6, 1, 1, generator=generator) * 6.3
    return torch.sin(frequencies[:, :, 0] * rows + frequencies[:, :, 1] * columns + phases).mean(1, keepdim=True)


def tiles(height: int, width: int, size: int) -> torch.Tensor:
    rows, columns = torch.arange(height) // size, torch.arange(width) // size
    return rows[:, None] * width + columns[None, :]


def test_smooth_pictures_have_no_seams_and_pasted_tiles_do():
    windows = tiles(8, 12, 4)  # cells of 4 pixels
    whole = seam_steps(smooth(0), windows)
    assert whole.ratio == pytest.approx(1.0, abs=0.35)
    pasted = smooth(0)
    pasted[..., 16:, :] = smooth(1)[..., 16:, :]
    pasted[..., :, 16:32] = smooth(2)[..., :, 16:32]
    assert seam_steps(pasted, windows).ratio > 3 * whole.ratio


def test_steps_are_those_of_a_loop_over_pixels():
    images, windows = torch.rand(2, 3, 6, 8), torch.randint(3, (3, 4), generator=torch.Generator().manual_seed(2))
    across, inside = [], []
    for vertical in (True, False):
        found = {True: [], False: []}
        for row in range(6):
            for column in range(8):
                r, c = (row + 1, column) if vertical else (row, column + 1)
                if r < 6 and c < 8 and (r % 2 == 0 if vertical else c % 2 == 0):
                    border = bool(windows[r // 2, c // 2] != windows[row // 2, column // 2])
                    found[border].append((images[:, :, r, c] - images[:, :, row, column]).abs().mean(dim=1))
        across.append(torch.stack(found[True]).mean(dim=0))
        inside.append(torch.stack(found[False]).mean(dim=0))
    result = seam_steps(images, windows)
    assert torch.allclose(result.across, torch.stack(across).mean(dim=0))
    assert torch.allclose(result.inside, torch.stack(inside).mean(dim=0))
    assert result.ratio == pytest.approx(float(result.across.mean() / result.inside.mean()))


def test_a_direction_that_has_borders_everywhere_is_left_out():
    images = torch.zeros(1, 1, 4, 4)
    images[..., 2:, :] = 1.0  # a step downwards that says nothing, as every row is a window of its own
    images[..., 3] += 0.5
    found = seam_steps(images, torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 3], [4, 4, 4, 5]]))
    assert float(found.across[0]) == pytest.approx(0.5)
    assert float(found.inside[0]) == pytest.approx(0.5 * 2 / 10)


def test_the_map_names_the_run_of_each_cell_and_minus_one_where_it_was_known():
    known = torch.zeros(4, 6, dtype=torch.bool)
    known[0, :2] = True
    runs = plan_windows(scan_order("hilbert", height=4, width=6), height=3, width=3, known=known)
    owners = window_map(runs, height=4, width=6)
    assert torch.equal(owners == -1, known)
    for index, run in enumerate(runs):
        assert (owners.flatten() == index).nonzero().flatten().tolist() == sorted(run.cells)


def test_a_map_without_borders_and_a_grid_that_does_not_fit_are_refused():
    with pytest.raises(ValueError, match="borders between windows and cells of one window"):
        seam_steps(torch.zeros(1, 1, 4, 4), torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="multiple of 3 x 2 pixels, the grid's, got 4 x 4"):
        seam_steps(torch.zeros(1, 1, 4, 4), torch.zeros(3, 2, dtype=torch.int64))
