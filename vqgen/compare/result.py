"""What a run found out, as a file that is there whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = "vqgen-compare-1"
RESULT_FILE, FAILURE_FILE, RUN_FILE = "result.json", "failure.json", "run.json"


@dataclass(frozen=True)
class RunResult:
    """The figures of one finished run.

    Attributes:
        contender: what was compared: the order, and its signals where the plan has several.
        order: name of the order or policy.
        signals: position signals.
        seed: of the run.
        height: rows of the grid.
        width: columns of the grid.
        positions: raster index visited at each step; None where every sample has an order of its own.
        nll: validation, nats per code.
        step_nats: mean nats at each step of the sequence, (n,).
        cell_nats: mean nats of each cell in raster order, (n,).
        image_nats: nats per code of each validation image, the same images in every run.
        curve: (step, training loss, validation loss) along the training; None where there is no such figure.
        steps: optimizer steps.
        seconds: of all steps.
        steps_per_second: one over the median step.
        images_per_second: of sampling and decoding.
        quality: FID and KID of samples, named for the network; empty without one.
        conditions: what the quality refers to.
        identity: all that decided the run.
        environment: versions, processor, threads.
    """

    contender: str
    order: str
    signals: Sequence[str]
    seed: int
    height: int
    width: int
    positions: Sequence[int] | None
    nll: float
    step_nats: Sequence[float]
    cell_nats: Sequence[float]
    image_nats: Sequence[float]
    curve: Sequence[Sequence[float | None]]
    steps: int
    seconds: float
    steps_per_second: float
    images_per_second: float
    quality: Mapping[str, float]
    conditions: Mapping[str, Any]
    identity: Mapping[str, Any]
    environment: Mapping[str, Any]

    def save(self, folder: Path) -> Path:
        """Write `result.json`."""
        return write_json(folder / RESULT_FILE, {"format": FORMAT, **dataclasses.asdict(self)})


@dataclass(frozen=True)
class RunFailure:
    """Why a run did not finish.

    Attributes:
        contender: what was compared.
        seed: of the run.
        error: the exception in a line.
        traceback: where it came from.
    """

    contender: str
    seed: int
    error: str
    traceback: str

    def save(self, folder: Path) -> Path:
        """Write `failure.json`."""
        return write_json(folder / FAILURE_FILE, {"format": FORMAT, **dataclasses.asdict(self)})


def read_result(folder: Path) -> RunResult | None:
    """The result in a run's folder, or None if it has not finished."""
    found = _read(folder / RESULT_FILE)
    return None if found is None else RunResult(**found)


def read_failure(folder: Path) -> RunFailure | None:
    """The failure in a run's folder, or None; a result makes it void."""
    found = None if (folder / RESULT_FILE).is_file() else _read(folder / FAILURE_FILE)
    return None if found is None else RunFailure(**found)


def write_json(path: Path, value: Any) -> Path:
    """Write JSON that is there whole or not at all; numbers that are not finite become null.

    Example:
        >>> path = write_json(Path(tempfile.mkdtemp()) / "new" / "a.json", {"nan": float("nan"), "half": 0.5})
        >>> path.read_text()
        '{"nan": null, "half": 0.5}\\n'
    """
    return write_text(path, json.dumps(_finite(value)) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not of the format {FORMAT!r}; remove its folder and run the comparison again")
    return dict(found)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value
