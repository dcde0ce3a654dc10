"""vqgen: two-stage image generation, with the scan order between the stages as a first-class choice."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Pipeline", "Prior", "Tokenizer", "__version__"]

if TYPE_CHECKING:
    from vqgen.pipeline import Pipeline
    from vqgen.prior import Prior
    from vqgen.tokenizer import Tokenizer

_HOMES = {"Pipeline": "vqgen.pipeline", "Prior": "vqgen.prior", "Tokenizer": "vqgen.tokenizer"}


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first used, so that the command line starts at once."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
