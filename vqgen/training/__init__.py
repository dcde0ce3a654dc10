"""Training with Lightning: modules for both stages, the optimization recipe, and the command line."""

from vqgen.training.muon import MuonAdamW, orthogonalise
from vqgen.training.optimization import Optimization
from vqgen.training.prior import PriorModule
from vqgen.training.resumable_fit import CurvePoint, FitRecord, fit_resumably
from vqgen.training.seed_each_step import SeedEachStep
from vqgen.training.tokenizer import TokenizerModule
from vqgen.training.vqgan import VQGANModule

__all__ = [
    "CurvePoint",
    "FitRecord",
    "MuonAdamW",
    "Optimization",
    "PriorModule",
    "SeedEachStep",
    "TokenizerModule",
    "VQGANModule",
    "fit_resumably",
    "orthogonalise",
]
