"""Images, cached codes, and (in `image_data` and `code_data`) the Lightning data modules that serve them."""

from vqgen.data.array_images import ArrayImages
from vqgen.data.augmented import Augmented
from vqgen.data.captions import CaptionedBatch, Captions, of_known_words
from vqgen.data.code_grids import CodeBatch, CodeGrids
from vqgen.data.codes_alone import CodesAlone
from vqgen.data.folder import ImageFolder
from vqgen.data.grid_condition import ChangedImages, GridCondition, LabelMaps
from vqgen.data.loaders import ResumableLoader, SequentialLoader
from vqgen.data.openmoji import OpenMoji
from vqgen.data.paired import PairedBatch, PairedGrids
from vqgen.data.source import Caption, ImageBatch, ImageDataset, ImageSource, to_bytes, to_unit_range
from vqgen.data.synthetic import SyntheticImages
from vqgen.data.torchvision_images import TorchvisionImages

__all__ = [
    "ArrayImages",
    "Augmented",
    "Caption",
    "CaptionedBatch",
    "Captions",
    "ChangedImages",
    "CodeBatch",
    "CodeGrids",
    "CodesAlone",
    "GridCondition",
    "ImageBatch",
    "ImageDataset",
    "ImageFolder",
    "ImageSource",
    "LabelMaps",
    "OpenMoji",
    "PairedBatch",
    "PairedGrids",
    "ResumableLoader",
    "SequentialLoader",
    "SyntheticImages",
    "TorchvisionImages",
    "of_known_words",
    "to_bytes",
    "to_unit_range",
]
