"""What the tokenizer is trained to reduce."""

from vqgen.losses.lite0 import Lite0
from vqgen.losses.logit_laplace import LogitLaplaceLoss
from vqgen.losses.reconstruction import ReconstructionLoss

__all__ = ["Lite0", "LogitLaplaceLoss", "ReconstructionLoss"]
