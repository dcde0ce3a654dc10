"""What the tokenizer is trained to reduce, and what judges its images."""

from vqgen.losses.adaptive_weight import adaptive_weight
from vqgen.losses.adversarial import AdversarialLoss, HingeLoss, VanillaLoss
from vqgen.losses.adversarial_schedule import AdversarialSchedule
from vqgen.losses.adversary import Adversary, Verdict
from vqgen.losses.base import ImageLoss
from vqgen.losses.discriminator import PatchDiscriminator
from vqgen.losses.feature_distance import feature_distance
from vqgen.losses.frozen import freeze
from vqgen.losses.gradient_penalty import r1_penalty
from vqgen.losses.lecam import LeCam
from vqgen.losses.lite0 import Lite0
from vqgen.losses.lite0_distance import Lite0Distance
from vqgen.losses.logit_laplace import LogitLaplaceLoss
from vqgen.losses.lpips import LPIPS
from vqgen.losses.reconstruction import ReconstructionLoss

__all__ = [
    "LPIPS",
    "AdversarialLoss",
    "AdversarialSchedule",
    "Adversary",
    "HingeLoss",
    "ImageLoss",
    "LeCam",
    "Lite0",
    "Lite0Distance",
    "LogitLaplaceLoss",
    "PatchDiscriminator",
    "ReconstructionLoss",
    "VanillaLoss",
    "Verdict",
    "adaptive_weight",
    "feature_distance",
    "freeze",
    "r1_penalty",
]
