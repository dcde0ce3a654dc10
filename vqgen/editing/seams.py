"""How visible the borders between windows are."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.editing.placement import WindowRun


@dataclass(frozen=True)
class SeamSteps:
    """Steps in pixel values between neighbouring cells, by whether a border between windows lies between them.

    Attributes:
        across: (b,) mean absolute step between pixels on both sides of a border between windows.
        inside: (b,) the same where two cells of one window meet.
    """

    across: Float[Tensor, " b"]
    inside: Float[Tensor, " b"]

    @property
    def ratio(self) -> float:
        """Mean of `across` by mean of `inside`: 1 where no border can be told, above it where they show."""
        return float(self.across.mean() / self.inside.mean())


def seam_steps(images: Float[Tensor, "b c H W"], windows: Int[Tensor, "h w"]) -> SeamSteps:
    """Compare the step in pixel values across the borders of windows with the step within windows.

    Both are taken where two cells meet, as a decoder may draw edges of cells everywhere. Steps to the side and
    downwards are averaged by direction first, each over the places of its kind, so that a plan whose windows are rows
    does not compare one direction with the other; a direction that lacks one of the kinds is left out.

    Args:
        images: (b, c, H, W).
        windows: (h, w) which window drew each cell, any numbers, as `window_map` gives; the grid divides H and W.

    Returns:
        The steps.

    Raises:
        ValueError: if the grid does not divide the image, or there is no border, or nothing but borders.

    Example:
        >>> images = torch.tensor([0.0, 0.0, 0.1, 0.1, 0.5, 0.5]).expand(1, 1, 2, 6)
        >>> found = seam_steps(images, torch.tensor([[0, 0, 1]]))
        >>> round(found.ratio, 2)
        4.0
    """
    (H, W), (h, w) = images.shape[2:], windows.shape
    if H % h or W % w:
        raise ValueError(f"expected images of a multiple of {h} x {w} pixels, the grid's, got {H} x {W}")
    across, inside = [], []
    for axis, (pixels, cell) in ((2, (H, H // h)), (3, (W, W // w))):
        if pixels == cell:
            continue
        lines = torch.arange(cell, pixels, cell, device=images.device)  # the first line of every cell but the first
        steps = (images.index_select(axis, lines) - images.index_select(axis, lines - 1)).abs().mean(dim=1)  # (b, ., .)
        along = W // w if axis == 2 else H // h
        border = (windows.diff(dim=axis - 2) != 0).to(images.device)
        border = border.repeat_interleave(along, dim=3 - axis)  # to pixels along the line
        if bool(border.any()) and not bool(border.all()):
            across.append(steps[:, border].mean(dim=1))
            inside.append(steps[:, ~border].mean(dim=1))
    if not across:
        raise ValueError(
            "expected a map with borders between windows and cells of one window side by side, got only one"
        )
    return SeamSteps(torch.stack(across).mean(dim=0), torch.stack(inside).mean(dim=0))


def window_map(plan: list[WindowRun], *, height: int, width: int) -> Int[Tensor, "h w"]:
    """Which run of a plan draws each cell.

    Args:
        plan: of `plan_windows`.
        height: rows of the large grid.
        width: columns of the large grid.

    Returns:
        (h, w) int64; -1 where a cell was known.
    """
    owners = torch.full((height * width,), -1, dtype=torch.int64)
    for index, run in enumerate(plan):
        owners[list(run.cells)] = index
    return owners.view(height, width)
