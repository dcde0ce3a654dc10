"""Latents to codes and back: one file per quantizer, one base contract."""

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.ema import EMAVectorQuantizer
from vqgen.quantizers.kmeans import kmeans
from vqgen.quantizers.nearest import nearest_codes
from vqgen.quantizers.nearest_neighbour import NearestNeighbourQuantizer
from vqgen.quantizers.vector import VectorQuantizer

__all__ = [
    "EMAVectorQuantizer",
    "NearestNeighbourQuantizer",
    "Quantized",
    "Quantizer",
    "VectorQuantizer",
    "kmeans",
    "nearest_codes",
]
