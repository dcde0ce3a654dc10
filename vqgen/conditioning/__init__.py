"""What a prior is told about the image it models: nothing, a label, a text, a grid."""

from vqgen.conditioning.base import NO_LABEL, Conditioner, Told
from vqgen.conditioning.label import LabelConditioner
from vqgen.conditioning.spatial import SpatialConditioner
from vqgen.conditioning.spatial_aligned import AlignedGridConditioner
from vqgen.conditioning.spatial_context import ConvolutionalContext
from vqgen.conditioning.spatial_images import GridOfImages, image_transform
from vqgen.conditioning.spatial_prefix import PrefixGridConditioner
from vqgen.conditioning.unconditional import Unconditional

__all__ = [
    "NO_LABEL",
    "AlignedGridConditioner",
    "Conditioner",
    "ConvolutionalContext",
    "GridOfImages",
    "LabelConditioner",
    "PrefixGridConditioner",
    "SpatialConditioner",
    "Told",
    "Unconditional",
    "image_transform",
]
