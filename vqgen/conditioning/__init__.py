"""What a prior is told about the image it models: nothing, a label, a text."""

from vqgen.conditioning.base import NO_LABEL, Conditioner, Told
from vqgen.conditioning.label import LabelConditioner
from vqgen.conditioning.unconditional import Unconditional

__all__ = ["NO_LABEL", "Conditioner", "LabelConditioner", "Told", "Unconditional"]
