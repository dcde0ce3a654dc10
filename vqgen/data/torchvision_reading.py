"""Reading torchvision's data sets, each of which has its own names for splits, pixels and targets."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vqgen.data.decode import Channels, decode_image
from vqgen.data.resize import resize_and_crop
from vqgen.data.source import ImageDataset, Split

# What torchvision's data sets call their splits, in the order in which the names are tried.
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "train-standard"),
    "validation": ("val", "valid", "validation", "test"),
}


def find_dataset(name: str) -> Any:
    """The class of `torchvision.datasets` with this name.

    Raises:
        ValueError: if there is none; the message has the names most like it.

    Example:
        >>> find_dataset("FashionMNIST").__name__
        'FashionMNIST'
    """
    from torchvision import datasets

    if name not in datasets.__all__:
        near = difflib.get_close_matches(name, datasets.__all__, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "see torchvision.datasets for the names"
        raise ValueError(f"torchvision has no data set called {name!r}; {hint}")
    return getattr(datasets, name)


def split_parameter(dataset_class: Any, options: Mapping[str, Any]) -> str | None:
    """The constructor's parameter that chooses the split: train, split or image_set; None if there is none to set."""
    accepted = _parameters(dataset_class)
    return next((name for name in ("train", "split", "image_set") if name in accepted and name not in options), None)


def open_split(dataset_class: Any, name: Split, root: Path, *, download: bool, options: Mapping[str, Any]) -> Any:
    """Construct a data set of torchvision for one split.

    Args:
        dataset_class: the class.
        name: "train" or "validation".
        root: the folder that torchvision looks in.
        download: let torchvision fetch what is missing.
        options: further arguments.

    Returns:
        The data set; all of it, whatever the split, if it has no splits.

    Raises:
        FileNotFoundError: if its files are not there.
        ValueError: if it has no split of a known name.

    Example:
        >>> len(open_split(find_dataset("FakeData"), "train", Path("unused"), download=False, options={"size": 5}))
        5
    """
    accepted = _parameters(dataset_class)
    arguments: dict[str, Any] = dict(options)
    if "root" in accepted:
        arguments["root"] = root
    if download and "download" in accepted:
        arguments["download"] = True
    parameter = split_parameter(dataset_class, options)
    if parameter is None:
        choices: list[dict[str, Any]] = [{}]
    elif parameter == "train":
        choices = [{"train": name == "train"}]
    else:
        choices = [{parameter: choice} for choice in SPLIT_NAMES[name]]
    refusals: list[str] = []
    for choice in choices:
        dataset = _construct(dataset_class, {**arguments, **choice}, refusals)
        if dataset is not None:
            return dataset
    raise ValueError(f"{dataset_class.__name__} could not be opened for {name}: {' | '.join(refusals)}")


def _construct(dataset_class: Any, arguments: Mapping[str, Any], refusals: list[str]) -> Any:
    """The data set, or None if it refused an argument, such as a split it does not have."""
    try:
        return dataset_class(**arguments)
    except ValueError as error:
        refusals.append(str(error))
        return None
    except (RuntimeError, FileNotFoundError) as error:
        can_download = "download" in _parameters(dataset_class) and not arguments.get("download")
        raise FileNotFoundError(
            f"torchvision finds no {dataset_class.__name__} in {Path(arguments.get('root', '.')).resolve()} ({error}); "
            f"{'pass download=True, or ' if can_download else ''}put its files where torchvision's documentation of "
            f"{dataset_class.__name__} says"
        ) from error


def targets_of(dataset: Any) -> Int64[Tensor, " n"]:
    """The class number of every item, or -1 where targets are no class numbers.

    Taken from the data set's own list if it has one, else by reading every item once.

    Example:
        >>> targets_of(find_dataset("FakeData")(size=3, image_size=(3, 4, 4))).shape
        torch.Size([3])
    """
    for attribute in ("targets", "labels", "_labels", "y"):
        values = getattr(dataset, attribute, None)
        if values is not None and len(values) == len(dataset) and np.ndim(values) == 1:
            return torch.as_tensor(np.asarray(values).astype(np.int64))
    targets = [item[1] for item in (dataset[index] for index in range(len(dataset)))]
    numbers = [int(target) if isinstance(target, int | np.integer) else -1 for target in targets]
    return torch.tensor(numbers, dtype=torch.int64)


def pixels_of(dataset: Any) -> UInt8[Tensor, "n c H W"] | None:
    """All pixels, if the data set keeps them in one array of bytes; None if it does not.

    Example:
        >>> pixels_of(find_dataset("FakeData")(size=3, image_size=(3, 4, 4))) is None
        True
    """
    values = getattr(dataset, "data", None)
    if not isinstance(values, np.ndarray | Tensor) or len(values) != len(dataset) or not len(values):
        return None
    pixels = torch.as_tensor(values)
    if pixels.ndim == 3:
        pixels = pixels[:, None]  # (n, H, W) -> (n, 1, H, W)
    elif pixels.ndim == 4 and pixels.shape[-1] == 3:
        pixels = pixels.permute(0, 3, 1, 2)  # (n, H, W, 3) -> (n, 3, H, W)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        return None
    # The array is used only if it is what indexing gives.
    first = dataset[0][0]
    same = isinstance(first, Image.Image) and torch.equal(decode_image(first, 3), pixels[0].expand(3, -1, -1))
    return pixels if same else None


class ItemImages(ImageDataset):
    """Images that another data set gives one by one as Pillow images.

    Args:
        dataset: gives (image, target).
        chosen: n of its indices.
        labels: (n,) class numbers, -1 for none.
        size: (H, W) of the images handed out.
        channels: 3 for colour, 1 for grey.

    Example:
        >>> fake = find_dataset("FakeData")(size=3, image_size=(3, 8, 9))
        >>> ItemImages(fake, [2, 0], torch.tensor([5, 7]), size=(4, 4))[1].images.shape
        torch.Size([3, 4, 4])
    """

    def __init__(
        self,
        dataset: Any,
        chosen: Sequence[int],
        labels: Int64[Tensor, " n"],
        *,
        size: tuple[int, int],
        channels: Channels = 3,
    ) -> None:
        self.dataset = dataset
        self.chosen = chosen
        self.labels = labels
        self.size = size
        self.channels: Channels = channels

    def read(self, indices: Sequence[int], seeds: Sequence[int] | None = None) -> UInt8[Tensor, "b c H W"]:
        """The pixels at these indices; nothing here is random, so `seeds` changes nothing."""
        images = [decode_image(self.dataset[self.chosen[index]][0], self.channels) for index in indices]
        return torch.stack([resize_and_crop(image, self.size) for image in images])


def _parameters(dataset_class: Any) -> set[str]:
    """The names a constructor takes, those it hands on to the classes above it included."""
    names: set[str] = set()
    for one in dataset_class.__mro__:
        if "__init__" not in vars(one):
            continue
        parameters = inspect.signature(one).parameters
        names |= set(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names
