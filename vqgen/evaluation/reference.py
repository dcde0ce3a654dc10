"""The images that FID and KID compare with: which they are, and their features, kept in the cache."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vqgen.data import ImageSource
from vqgen.data.cache import cache_folder, short_hash, whole_folder
from vqgen.data.source import Split
from vqgen.metrics import metric_name, weights_hash


def chosen(items: int, count: int | None, seed: int) -> list[int]:
    """The images to look at: all, or `count` different ones, in ascending order.

    Example:
        >>> chosen(5, 2, seed=0), chosen(3, None, seed=0)
        ([0, 4], [0, 1, 2])
    """
    if count is None:
        count = items
    if not 2 <= count <= items:
        raise ValueError(f"count must lie in [2, {items}], the number of images of the split, got {count}")
    drawn = torch.randperm(items, generator=torch.Generator().manual_seed(seed))[:count]
    return sorted(drawn.tolist())


class Reference:
    """The features of original images, kept in the cache under a name that says what they were computed from.

    Args:
        source: the images.
        split: which of them.
        indices: numbers of the images.
        extractor: the network.
        cache: folder; None is the user's cache folder.

    Attributes:
        description: source, cut, network, in plain values.
        key: hash of the description and the chosen images.
    """

    def __init__(
        self,
        source: ImageSource,
        split: Split,
        indices: Sequence[int],
        extractor: nn.Module,
        cache: str | Path | None = None,
    ) -> None:
        self.description = {
            "source": f"{type(source).__module__.split('.')[0]}.{type(source).__name__}",
            "source_arguments": plain_arguments(source),
            "source_fingerprint": source.fingerprint,
            "split": split,
            "image_size": list(source.image_size),
            "crop": "center",  # how every source cuts images that are read without a seed
            "extractor": metric_name(extractor),
            "extractor_input_size": getattr(extractor, "size", None),
            "extractor_weights": weights_hash(extractor),
        }
        # What the fingerprint does not depend on does not change the pixels: where a folder lies, say.
        decisive = {name: value for name, value in self.description.items() if name != "source_arguments"}
        self.key = short_hash({**decisive, "indices": list(indices)})
        self.folder = cache_folder(cache) / "references" / self.key

    def read(self) -> Float[Tensor, "n d"] | None:
        """The features, or None where none are kept or the file is not what was written."""
        try:
            with safe_open(self.folder / "features.safetensors", framework="pt") as file:
                features: Tensor = file.get_tensor("features")
                recorded = (file.metadata() or {}).get("sha256")
        except (OSError, SafetensorError):
            return None
        return features if digest(features) == recorded else None

    def write(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Keep the features, and return them."""
        with whole_folder(self.folder) as folder:
            save_file({"features": features}, folder / "features.safetensors", {"sha256": digest(features)})
            (folder / "description.json").write_text(json.dumps(self.description, indent=2) + "\n", encoding="utf-8")
        return features


def plain_arguments(source: ImageSource) -> dict[str, Any]:
    """The constructor arguments that JSON can write, as the source keeps them.

    Example:
        >>> from vqgen.data import SyntheticImages
        >>> plain_arguments(SyntheticImages(8, 16))
        {'count': 8, 'size': 16, 'channels': 3, 'num_classes': 4, 'seed': 0}
    """
    arguments = {name: getattr(source, name, None) for name in inspect.signature(type(source)).parameters}
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in arguments.items()}


def digest(features: Float[Tensor, "n d"]) -> str:
    """SHA-256 of features, 16 hexadecimal digits."""
    return hashlib.sha256(features.contiguous().numpy().tobytes()).hexdigest()[:16]
