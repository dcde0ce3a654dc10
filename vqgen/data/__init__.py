"""Images, cached codes, and the Lightning data modules that serve them."""

from vqgen.data.array_images import ArrayImages
from vqgen.data.openmoji import OpenMoji
from vqgen.data.source import ImageBatch, ImageDataset, ImageSource

__all__ = ["ArrayImages", "ImageBatch", "ImageDataset", "ImageSource", "OpenMoji"]
