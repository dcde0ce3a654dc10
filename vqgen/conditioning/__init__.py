"""What a prior is told about the image it models: nothing, a label, a text, a grid."""

from vqgen.conditioning.asked import Asked, condition_of
from vqgen.conditioning.base import NO_LABEL, Conditioner, PrefixNll, Told
from vqgen.conditioning.label import LabelConditioner
from vqgen.conditioning.spatial import SpatialConditioner
from vqgen.conditioning.spatial_aligned import AlignedGridConditioner
from vqgen.conditioning.spatial_context import ConvolutionalContext
from vqgen.conditioning.spatial_images import GridOfImages, image_transform
from vqgen.conditioning.spatial_prefix import PrefixGridConditioner
from vqgen.conditioning.text import TextConditioner
from vqgen.conditioning.text_encoder import EncoderBlock, TextEncoder
from vqgen.conditioning.text_stream import TextStream
from vqgen.conditioning.unconditional import Unconditional
from vqgen.conditioning.vocabulary import NO_TOKEN, Vocabulary, train_vocabulary

__all__ = [
    "NO_LABEL",
    "NO_TOKEN",
    "AlignedGridConditioner",
    "Asked",
    "Conditioner",
    "ConvolutionalContext",
    "EncoderBlock",
    "GridOfImages",
    "LabelConditioner",
    "PrefixGridConditioner",
    "PrefixNll",
    "SpatialConditioner",
    "TextConditioner",
    "TextEncoder",
    "TextStream",
    "Told",
    "Unconditional",
    "Vocabulary",
    "condition_of",
    "image_transform",
    "train_vocabulary",
]
