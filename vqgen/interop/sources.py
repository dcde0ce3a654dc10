"""The projects whose tokenizers can be brought along, by the name a user gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqgen.interop.dalle import from_dalle
from vqgen.interop.diffusers import from_diffusers
from vqgen.interop.llamagen import from_llamagen
from vqgen.interop.maskgit import from_maskgit
from vqgen.interop.taming import from_taming
from vqgen.interop.weights_file import read_weights
from vqgen.tokenizer import Tokenizer


@dataclass(frozen=True)
class Source:
    """A project, the files it takes, and the function that makes a tokenizer of their weights.

    Attributes:
        files: what to give, in order.
        convert: takes as many state dicts as there are files.
        description: one line.
    """

    files: tuple[str, ...]
    convert: Callable[..., Tokenizer]
    description: str


SOURCES: dict[str, Source] = {
    "taming": Source(
        ("checkpoint",), from_taming, "taming-transformers: VQGAN f16 1024 and 16384, Gumbel f8, and alike"
    ),
    "llamagen": Source(("checkpoint",), from_llamagen, "LlamaGen: VQ-16 and VQ-8"),
    "maskgit": Source(("checkpoint",), from_maskgit, "1d-tokenizer and open-muse: MaskGIT-VQGAN"),
    "dalle": Source(("encoder", "decoder"), from_dalle, "DALL-E: state dicts of its encoder and of its decoder"),
    "diffusers": Source(("checkpoint",), from_diffusers, "diffusers: VQModel, a file with config.json beside it"),
}


def import_tokenizer(source: str, checkpoints: str | Path | Sequence[str | Path]) -> Tokenizer:
    """Read another project's tokenizer from its checkpoint, and nothing from it but weights.

    Args:
        source: a name in `SOURCES`.
        checkpoints: its file, or its files in the order that `SOURCES[source].files` says.

    Returns:
        The tokenizer, in evaluation mode; `metadata["imported_from"]` says where from.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if the source is unknown, or the files are not what it publishes.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}; expected one of {', '.join(SOURCES)}")
    expected = SOURCES[source].files
    paths = [Path(path) for path in ([checkpoints] if isinstance(checkpoints, (str, Path)) else checkpoints)]
    if len(paths) != len(expected):
        raise ValueError(
            f"expected {len(expected)} file{'s' if len(expected) > 1 else ''} for {source} "
            f"({', '.join(expected)}), got {len(paths)}"
        )
    weights = [read_weights(path) for path in paths]
    if source == "diffusers":
        beside = paths[0].with_name("config.json")
        config = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else None
        tokenizer = from_diffusers(weights[0], config)
    else:
        tokenizer = SOURCES[source].convert(*weights)
    tokenizer.metadata["imported_from"] = {"source": source, "files": [path.name for path in paths]}
    return tokenizer
