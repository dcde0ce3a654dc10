"""Codebook use, reconstruction, distances between sets of images, likelihood: what training and evaluation report."""

import importlib
from typing import TYPE_CHECKING, Any

from vqgen.metrics.bound import LikelihoodBound, likelihood_bound
from vqgen.metrics.ensemble import EnsembleLikelihood, ensemble_likelihood
from vqgen.metrics.likelihood import Likelihood, likelihood
from vqgen.metrics.ranking import Ranking, rank_captions
from vqgen.metrics.scores import SCORES, Scorer, information, log_likelihoods

if TYPE_CHECKING:
    from vqgen.metrics.codebook import CodebookUsage, CodebookUse, codebook_use
    from vqgen.metrics.features import FEATURE_EXTRACTORS, Inception, feature_extractor, metric_name, weights_hash
    from vqgen.metrics.fid_kid import SetDistance, set_distance
    from vqgen.metrics.reconstruction import psnr, ssim

__all__ = [
    "FEATURE_EXTRACTORS",
    "SCORES",
    "CodebookUsage",
    "CodebookUse",
    "EnsembleLikelihood",
    "Inception",
    "Likelihood",
    "LikelihoodBound",
    "Ranking",
    "Scorer",
    "SetDistance",
    "codebook_use",
    "ensemble_likelihood",
    "feature_extractor",
    "information",
    "likelihood",
    "likelihood_bound",
    "log_likelihoods",
    "metric_name",
    "psnr",
    "rank_captions",
    "set_distance",
    "ssim",
    "weights_hash",
]

_HOMES = {
    "FEATURE_EXTRACTORS": "features",
    "CodebookUsage": "codebook",
    "CodebookUse": "codebook",
    "SetDistance": "fid_kid",
    "Inception": "features",
    "codebook_use": "codebook",
    "metric_name": "features",
    "set_distance": "fid_kid",
    "feature_extractor": "features",
    "psnr": "reconstruction",
    "ssim": "reconstruction",
    "weights_hash": "features",
}


def __getattr__(name: str) -> Any:
    """Import what needs torchmetrics when it is first used: it takes seconds, and sampling does without."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"vqgen.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
