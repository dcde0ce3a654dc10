"""Images read from files one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vqgen.data.decode import Channels, decode_file
from vqgen.data.draws import uniforms
from vqgen.data.resize import resize_and_crop
from vqgen.data.source import ImageDataset

Crop = Literal["center", "random"]


class FolderImages(ImageDataset):
    """Files that are decoded, scaled and cut whenever they are read.

    Args:
        root: the folder they are in.
        files: n paths below it.
        labels: (n,) class numbers, -1 for none.
        size: (H, W) of the images handed out.
        channels: 3 for colour, 1 for grey.
        crop: "random" cuts at a place that the seed of a read decides; "center", or a read without seed, in the middle.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("L", (9, 7), 255).save(root / "white.png")
        >>> FolderImages(root, ["white.png"], torch.tensor([2]), size=(4, 4))[0].images.shape
        torch.Size([3, 4, 4])
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        labels: Int64[Tensor, " n"],
        *,
        size: tuple[int, int],
        channels: Channels = 3,
        crop: Crop = "center",
    ) -> None:
        self.root = root
        self.files = files
        self.labels = labels
        self.size = size
        self.channels: Channels = channels
        self.crop = crop

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b c H W"]:
        """The pixels at these indices; with seeds and random cropping, cut at places the seeds decide."""
        if seeds is None or self.crop == "center":
            places = np.full((len(indices), 2), 0.5)
        else:
            places = uniforms(np.asarray(seeds, dtype=np.uint64), 2)
        images = []
        for index, (top, left) in zip(indices, places.tolist(), strict=True):
            image = decode_file(self.root / self.files[index], self.channels, enough=self.size)
            images.append(resize_and_crop(image, self.size, place=(top, left)))
        return torch.stack(images)
