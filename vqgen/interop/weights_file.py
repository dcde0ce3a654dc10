"""Weights out of a checkpoint file, without running any code that the file brings."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("ema", "model", "state_dict")
"""Under which of these a training checkpoint keeps its weights; the first that is there."""


class Inert:
    """Stands for a class that a checkpoint names beside its weights; does nothing and is thrown away."""


# Lightning 1 wrote its checkpoint callback's class as a key, training scripts their parsed arguments. Neither is used.
HARMLESS: list[Any] = [
    argparse.Namespace,
    (Inert, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, or from a PyTorch checkpoint that holds nothing but data.

    A PyTorch checkpoint is a pickle, which can run any program while it is read. Only tensors and plain containers are
    accepted (`torch.load(weights_only=True)`).

    Args:
        path: a `.safetensors` file, or what `torch.save` wrote: a state dict, or a dict with one under `ema`, `model`
            or `state_dict`.

    Returns:
        Names and tensors, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file needs to be unpickled, is damaged, or holds no state dict.

    Example:
        >>> torch.save({"state_dict": {"conv.weight": torch.zeros(2)}, "epoch": 3}, "last.ckpt")
        >>> read_weights("last.ckpt")
        {'conv.weight': tensor([0., 0.])}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a checkpoint file, found no file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error}); copy it again") from error
    try:
        with torch.serialization.safe_globals(HARMLESS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than weights, and reading the rest could run any program: "
            f"{str(error).splitlines()[0]} If you trust where it comes from, write its weights alone with the program "
            "that made it, torch.save(model.state_dict(), 'weights.pt'), and import that file"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a whole PyTorch checkpoint ({error}); copy it again") from error
    return _state_dict(found, path)


def _state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
            break
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"expected a state dict in {path}, found a {type(found).__name__} without weights")
    strangers = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(
            f"expected a state dict in {path}, or one under any of {', '.join(WRAPPERS)}; found {strangers[0]!r}, "
            "which is not a tensor"
        )
    return {str(name): value for name, value in found.items()}
