"""Figures, and what they refer to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """Figures and what they refer to.

    Attributes:
        figures: metric to value; a metric that looks through a network says so in its name.
        conditions: reference images, crop, network, number, seed, versions.
    """

    figures: Mapping[str, float]
    conditions: Mapping[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write both as JSON."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        return path

    def __str__(self) -> str:
        width = max(map(len, self.figures))
        return "\n".join(f"{name:{width}}  {value:.5g}" for name, value in self.figures.items())
