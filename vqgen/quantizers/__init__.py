"""Latents to codes and back: one file per quantizer, one base contract."""

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.ema import EMAVectorQuantizer
from vqgen.quantizers.finite_scalar import FiniteScalarQuantizer
from vqgen.quantizers.gumbel import GumbelQuantizer
from vqgen.quantizers.kmeans import kmeans
from vqgen.quantizers.lookup_free import LookupFreeQuantizer
from vqgen.quantizers.nearest import nearest_codes
from vqgen.quantizers.nearest_neighbour import NearestNeighbourQuantizer
from vqgen.quantizers.residual import ResidualQuantizer
from vqgen.quantizers.sim import SimVectorQuantizer
from vqgen.quantizers.vector import VectorQuantizer

__all__ = [
    "EMAVectorQuantizer",
    "FiniteScalarQuantizer",
    "GumbelQuantizer",
    "LookupFreeQuantizer",
    "NearestNeighbourQuantizer",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "SimVectorQuantizer",
    "VectorQuantizer",
    "kmeans",
    "nearest_codes",
]
