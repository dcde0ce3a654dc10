"""Codes of images beside the grids they are to be generated from."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Int64
from torch import Tensor

from vqgen.data.code_grids import CodeGrids


class PairedBatch(NamedTuple):
    """Grids of codes with their labels and conditions.

    Example:
        >>> import torch
        >>> grid = torch.zeros(2, 4, 4, dtype=torch.int64)
        >>> PairedBatch(codes=grid, labels=torch.tensor([4, -1]), condition=grid[:, ::2, ::2]).condition.shape
        torch.Size([2, 2, 2])
    """

    codes: Int64[Tensor, "b h w"]
    labels: Int64[Tensor, " b"]  # -1 = no label
    condition: Int64[Tensor, "b r s"]


class PairedGrids:
    """Two folders of codes of the same images in the same views: what is generated, and from what.

    Args:
        grids: the codes of the images.
        conditions: those of their conditions.

    Attributes:
        views: versions of each image.

    Raises:
        ValueError: if they are not of the same number of images and views.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from vqgen.data.code_grids import write_code_grids
        >>> folder, labels = Path(tempfile.mkdtemp()), torch.tensor([0, 1, 0])
        >>> facts = dict(views=1, image_size=(8, 8), class_names=("a", "b"), tokenizer="1", source="2")
        >>> for name, side in (("codes", 4), ("conditions", 2)):
        ...     codes = torch.ones(3, side, side).long()
        ...     write_code_grids(folder / name, [codes], labels, grid_size=(side, side), codebook_size=2, **facts)
        >>> pairs = PairedGrids(CodeGrids(folder / "codes"), CodeGrids(folder / "conditions"))
        >>> pairs.batch([2, 0]).condition.shape
        torch.Size([2, 2, 2])
    """

    def __init__(self, grids: CodeGrids, conditions: CodeGrids) -> None:
        if (len(grids), grids.views) != (len(conditions), conditions.views):
            raise ValueError(
                f"expected conditions of {len(grids)} images in {grids.views} views, got {len(conditions)} in "
                f"{conditions.views} in {conditions.folder}; remove that folder to have it made anew"
            )
        self.grids = grids
        self.conditions = conditions
        self.views = grids.views

    def __len__(self) -> int:
        return len(self.grids)

    def batch(self, indices: Sequence[int], views: Sequence[int] | None = None) -> PairedBatch:
        """The codes and conditions of several images, both in the same view.

        Args:
            indices: b numbers in [0, len(self)).
            views: which version of each, in [0, self.views); None takes the images as they are.

        Returns:
            Codes (b, h, w), labels (b,) and conditions (b, h', w').
        """
        codes, labels = self.grids.batch(indices, views)
        return PairedBatch(codes, labels, self.conditions.batch(indices, views).codes)
