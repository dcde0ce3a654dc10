"""Codebook use, reconstruction and likelihood: what training and evaluation report."""

import importlib
from typing import TYPE_CHECKING, Any

from vqgen.metrics.likelihood import Likelihood, likelihood

if TYPE_CHECKING:
    from vqgen.metrics.codebook import CodebookUsage, CodebookUse, codebook_use
    from vqgen.metrics.reconstruction import psnr

__all__ = ["CodebookUsage", "CodebookUse", "Likelihood", "codebook_use", "likelihood", "psnr"]

_HOMES = {"CodebookUsage": "codebook", "CodebookUse": "codebook", "codebook_use": "codebook", "psnr": "reconstruction"}


def __getattr__(name: str) -> Any:
    """Import what needs torchmetrics when it is first used: it takes seconds, and sampling does without."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"vqgen.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
