"""What a prior is told about the image it models, as the vector that starts the sequence."""

from vqgen.conditioning.base import NO_LABEL, Conditioner
from vqgen.conditioning.label import LabelConditioner
from vqgen.conditioning.unconditional import Unconditional

__all__ = ["NO_LABEL", "Conditioner", "LabelConditioner", "Unconditional"]
