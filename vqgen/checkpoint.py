"""Portable model folders: `config.json` beside `model.safetensors`, strict and without pickle.

A model describes itself by its constructor arguments: every argument is kept as an attribute of the same name, so that
`config_of` can read them back and `build` can construct the same model again.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

FORMAT = "vqgen-1"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

PortableModel = TypeVar("PortableModel", bound="Portable")


def config_of(module: nn.Module) -> dict[str, Any]:
    """Describe a module by its class and constructor arguments, as JSON-able values.

    Arguments that are None and None by default are left out: an argument that a later version adds, with None for "as
    before", changes neither the description nor the fingerprint of the models that do without it. So are arguments that
    were None and whose attribute the module made from the others; it names them in `made_from_others`.

    Args:
        module: a module that keeps each constructor argument as an attribute of the same name.

    Returns:
        `{"class_path": ..., "init_args": {...}}`, nested for injected submodules.

    Raises:
        TypeError: if an argument is not kept, or is neither JSON-able nor a module.

    Example:
        >>> from vqgen.losses import ReconstructionLoss
        >>> config_of(ReconstructionLoss(l1=1.0, l2=0.0))
        {'class_path': 'vqgen.losses.ReconstructionLoss', 'init_args': {'l1': 1.0, 'l2': 0.0}}
    """
    arguments = {}
    constructor = type(module).__init__
    # A class without a constructor has that of nn.Module, which takes nothing, whatever its signature says.
    parameters = {} if constructor is nn.Module.__init__ else inspect.signature(constructor).parameters
    for name, parameter in parameters.items():
        if name == "self":
            continue
        if not hasattr(module, name):
            raise TypeError(
                f"{type(module).__name__} does not keep its constructor argument {name!r} as an attribute, "
                "so it cannot be described; assign it in __init__"
            )
        made = name in getattr(module, "made_from_others", ())
        if parameter.default is None and (made or getattr(module, name) is None):
            continue
        arguments[name] = _describe_value(getattr(module, name), where=f"{type(module).__name__}.{name}")
    return {"class_path": _public_path(type(module)), "init_args": arguments}


def build(config: Mapping[str, Any], classes: Iterable[type[nn.Module]] = ()) -> nn.Module:
    """Construct the module that `config_of` described; weights are as the constructor leaves them.

    Args:
        config: what `config_of` returned.
        classes: classes from outside vqgen that the description may name. Nothing else is imported.

    Returns:
        The module.

    Raises:
        ValueError: if a class is unknown or refuses its arguments.
    """
    try:
        path, arguments = config["class_path"], config["init_args"]
    except (KeyError, TypeError):
        raise ValueError(
            f"expected a model description with class_path and init_args, got {str(config)[:80]!r}"
        ) from None
    known = {_public_path(cls): cls for cls in classes}
    model_class = known.get(path) or _vqgen_class(path)
    try:
        return model_class(**{name: _build_value(value, classes) for name, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{path} does not accept the recorded arguments {sorted(arguments)}: {error}") from error


def fingerprint(module: nn.Module) -> str:
    """Hash of a module's description and weights: 16 hexadecimal digits, the same on every machine.

    Args:
        module: any module that `config_of` can describe.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256(json.dumps(config_of(module), sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


class Portable(nn.Module):
    """A module that can be written to, and read from, a portable folder.

    Attributes:
        metadata: JSON-able facts that travel with the weights (image size, scan order, ...).
    """

    metadata: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.metadata = {}

    def fingerprint(self) -> str:
        """Hash of description and weights (see `vqgen.checkpoint.fingerprint`)."""
        return fingerprint(self)

    def save_pretrained(self, folder: str | Path, **metadata: Any) -> Path:
        """Write `config.json` and `model.safetensors`, replacing an older model in the folder only when complete.

        Args:
            folder: where to write; parents are made.
            metadata: JSON-able facts to record, added to those the model already carries.

        Returns:
            The folder.
        """
        folder = Path(folder)
        self.metadata = {**self.metadata, **metadata}
        config = {
            "format": FORMAT,
            "model": config_of(self),
            "metadata": self.metadata,
            "fingerprint": self.fingerprint(),
        }
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
            save_file(weights, new / WEIGHTS_FILE)
            (new / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG_FILE).is_file():
                raise FileExistsError(
                    f"{folder} holds other files and no {CONFIG_FILE}; give a new or empty folder for the model"
                )
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            new.rename(folder)
        return folder

    @classmethod
    def from_pretrained(
        cls: type[PortableModel], folder: str | Path, classes: Iterable[type[nn.Module]] = ()
    ) -> PortableModel:
        """Read a model from a portable folder, in evaluation mode.

        Args:
            folder: a folder that `save_pretrained` wrote.
            classes: classes from outside vqgen that the model is made of.

        Returns:
            The model, on the CPU.

        Raises:
            FileNotFoundError: if the folder or one of its two files is missing.
            ValueError: if a file is damaged, foreign, or describes another kind of model.
        """
        folder = Path(folder)
        config = read_config(folder)
        model = build(config["model"], classes)
        if not isinstance(model, cls):
            raise ValueError(f"expected a {cls.__name__} in {folder}, found a {type(model).__name__}")
        path = folder / WEIGHTS_FILE
        if not path.is_file():
            raise FileNotFoundError(f"expected {WEIGHTS_FILE} beside {CONFIG_FILE} in {folder}, found none")
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({error}); copy or write the model again"
            ) from error
        try:
            model.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise ValueError(f"the weights in {path} do not fit the model described beside them: {error}") from error
        model.metadata = config.get("metadata", {})
        if model.fingerprint() != config.get("fingerprint"):
            raise ValueError(
                f"{folder} was changed after it was written: fingerprint {model.fingerprint()} of the weights, "
                f"{config.get('fingerprint')} in {CONFIG_FILE}; write the model again"
            )
        return model.eval()


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read and check a model folder's `config.json`, without its weights.

    Args:
        folder: a folder that `Portable.save_pretrained` wrote.

    Returns:
        `format`, `model`, `metadata` and `fingerprint`.

    Raises:
        FileNotFoundError: if the folder or the file is missing.
        ValueError: if it is not JSON, or not of this format.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a model folder with {CONFIG_FILE} and {WEIGHTS_FILE}, found no {path}; "
            "`vqgen fit` writes one at its end"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); copy or write the model again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise ValueError(f"expected format {FORMAT!r} in {path}, found {found!r}; was it written by another program?")
    return config


def _describe_value(value: Any, where: str) -> Any:
    if isinstance(value, nn.Module):
        return config_of(value)
    if isinstance(value, (list, tuple)):
        return [_describe_value(item, where) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}; expected a number, text, None, a module or a list of them")


def _build_value(value: Any, classes: Iterable[type[nn.Module]]) -> Any:
    if isinstance(value, Mapping):
        return build(value, classes)
    if isinstance(value, list):
        return tuple(_build_value(item, classes) for item in value)
    return value


def _public_path(cls: type) -> str:
    """`vqgen.<room>.<Class>` for our classes, so that moving a class between a room's files keeps folders loading."""
    parts = cls.__module__.split(".")
    return ".".join([*(parts[:2] if parts[0] == "vqgen" else parts), cls.__qualname__])


def _vqgen_class(path: str) -> type[nn.Module]:
    module_name, _, class_name = str(path).rpartition(".")
    if module_name.split(".")[0] != "vqgen":
        raise ValueError(
            f"the model is made of {path}, which is not part of vqgen; pass that class, "
            f"as in from_pretrained(folder, classes=[{class_name or path}])"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"vqgen has no {path}; was the model written by another version?") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"{path} is not a model class")
    return found
