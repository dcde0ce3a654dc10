"""Random changes to images that are the same whenever and wherever the same draw is made."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from vqgen.data.draws import mix, uniforms
from vqgen.data.source import ImageBatch, ImageDataset, to_unit_range


class Augmented(Dataset[ImageBatch]):
    """A data set of draws: item i changed at random, where draw = i + epoch * len(dataset) decides how.

    Args:
        dataset: the images.
        seed: with the draw number, decides everything random.
        flip: mirror half of the draws left to right.
        turn: turn by a random number of quarters, square images only; with `flip`, all symmetries of the square. It
            suits a tokenizer, for which a stroke is a stroke; a prior should see things upright.
        shift: move by up to this many pixels up, down, left and right; the edge pixels are repeated beyond the edge.
        transforms: further changes, in turn, such as those of `torchvision.transforms.v2`: each takes and gives one
            image (c, H, W) of bytes and draws its random numbers from torch's global generator, which is seeded for
            it and left as it was.

    Raises:
        ValueError: if shift is negative or images to turn are not square, or, when an image is read, if a transform
            changed its shape or type.

    Example:
        >>> from vqgen.data.array_images import ArrayImages
        >>> images = ArrayImages(torch.arange(0, 64, dtype=torch.uint8).view(1, 1, 8, 8))
        >>> augmented = Augmented(images, seed=5, flip=True, shift=2)
        >>> torch.equal(augmented[7].images, augmented[7].images), torch.equal(augmented[7].images, augmented[8].images)
        (True, False)
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        seed: int = 0,
        flip: bool = False,
        turn: bool = False,
        shift: int = 0,
        transforms: Sequence[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        if shift < 0:
            raise ValueError(f"shift must be >= 0 pixels, got {shift}")
        self.dataset = dataset
        self.seed = seed
        self.flip = flip
        self.turn = turn
        self.shift = shift
        self.transforms = transforms

    def __getitem__(self, draw: int) -> ImageBatch:
        image, label = self.batch([draw])
        return ImageBatch(image[0], label[0])

    def batch(self, draws: Sequence[int]) -> ImageBatch:
        """The images of these draws with their labels; much faster than one by one."""
        indices = [draw % len(self.dataset) for draw in draws]
        return ImageBatch(to_unit_range(self.read(draws)), self.dataset.labels[torch.as_tensor(indices)])

    def read(self, draws: Sequence[int]) -> UInt8[Tensor, "b c H W"]:
        """The pixels of these draws, 0 black to 255 white."""
        indices = [draw % len(self.dataset) for draw in draws]
        seeds = mix(self.seed, draws)
        # Seeds of their own for each purpose: else a place to crop at would go with a direction to flip to.
        images = self.dataset.read(indices, mix(1, seeds.tolist()).tolist())
        chances = uniforms(seeds, 4)
        if self.flip:
            mirrored = torch.from_numpy(chances[:, 0] < 0.5)
            both = torch.cat([images, images.flip(-1)])
            images = both.index_select(0, torch.arange(len(images)) + len(images) * mirrored)
        if self.turn:
            images = turned(images, (chances[:, 3] * 4).astype(int).tolist())
        if self.shift:
            offsets = (chances[:, 1:3] * (2 * self.shift + 1)).astype(int).tolist()
            images = shifted(images, offsets, self.shift)
        if self.transforms:
            images = torch.stack(
                [self._transform(*pair) for pair in zip(images, mix(2, seeds.tolist()).tolist(), strict=True)]
            )
        return images

    def _transform(self, image: UInt8[Tensor, "c H W"], seed: int) -> UInt8[Tensor, "c H W"]:
        result = image
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for transform in self.transforms:
                result = transform(result)
        if result.shape != image.shape or result.dtype != torch.uint8:
            raise ValueError(
                f"transforms must keep shape and type, got {tuple(result.shape)} {result.dtype} for "
                f"{tuple(image.shape)} {image.dtype}; the size is set in the source, and [-1, 1] is made afterwards"
            )
        return result


def turned(images: UInt8[Tensor, "b c H W"], quarters: Sequence[int]) -> UInt8[Tensor, "b c H W"]:
    """Turn each image against the clock by its own number of quarters.

    Args:
        images: square ones.
        quarters: b numbers.

    Returns:
        Images of the same size.

    Raises:
        ValueError: if the images are not square.

    Example:
        >>> turned(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8), [1])
        tensor([[[[2, 4],
                  [1, 3]]]], dtype=torch.uint8)
    """
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"expected square images to turn, got {height} x {width}; set turn to false")
    return torch.stack([torch.rot90(image, quarter, (1, 2)) for image, quarter in zip(images, quarters, strict=True)])


def shifted(
    images: UInt8[Tensor, "b c H W"], offsets: Sequence[Sequence[int]], margin: int
) -> UInt8[Tensor, "b c H W"]:
    """Cut each image, with its edge pixels repeated `margin` pixels outwards, at its own place.

    Args:
        images: bytes.
        offsets: b pairs (top, left), each in [0, 2 * margin]; (margin, margin) leaves an image as it is.
        margin: pixels >= 0.

    Returns:
        Images of the same size.

    Example:
        >>> shifted(torch.tensor([[[[1, 2, 3]]]], dtype=torch.uint8), [(1, 0)], 1)
        tensor([[[[1, 1, 2]]]], dtype=torch.uint8)
    """
    height, width = images.shape[-2:]
    padded = pad(images, (margin, margin, margin, margin), mode="replicate")
    cuts = [
        image[:, top : top + height, left : left + width] for image, (top, left) in zip(padded, offsets, strict=True)
    ]
    return torch.stack(cuts)
