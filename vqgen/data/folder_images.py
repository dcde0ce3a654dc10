"""Images read from files one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vqgen.data.decode import Channels, decode_file
from vqgen.data.draws import uniforms
from vqgen.data.file_check import file_stamps
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

    slow_to_read = True

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

    def stamps(self) -> npt.NDArray[np.uint64]:
        """A number for each file that changes with its name, size and time of change; opens none."""
        return file_stamps(self.root, self.files)

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b c H W"]:
        """The pixels at these indices; with seeds and random cropping, cut at places the seeds decide."""
        if seeds is None or self.crop == "center":
            places = np.full((len(indices), 2), 0.5)
        else:
            places = uniforms(np.asarray(seeds, dtype=np.uint64), 2)
        images = []
        for index, (top, left) in zip(indices, places.tolist(), strict=True):
            image = self._decode(self.root / self.files[index])
            images.append(resize_and_crop(image, self.size, place=(top, left)))
        return torch.stack(images)

    def _decode(self, file: Path) -> UInt8[Tensor, "c H W"]:
        try:
            return decode_file(file, self.channels, enough=self.size)
        except ValueError as error:
            raise ValueError(
                f"{error}; mend or remove it, or pass on_error='skip' to leave out all such files"
            ) from error
