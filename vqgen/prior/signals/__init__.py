"""How the prior learns where it is: one module per position signal, chosen by name and combined at will."""

from vqgen.prior.signals.base import AdditiveSignal, RotarySignal, Rotation
from vqgen.prior.signals.cell import CellSignal, CellTable
from vqgen.prior.signals.cell_rotation import CellRotation
from vqgen.prior.signals.combination import SIGNALS, SignalCombination, combine_signals
from vqgen.prior.signals.double import DoubleSignal
from vqgen.prior.signals.instruction import InstructionSignal, OwnRotarySignal
from vqgen.prior.signals.relative import RelativeAttention, RelativeReach, RelativeSignal
from vqgen.prior.signals.relative_shaw import ShawSignal
from vqgen.prior.signals.relative_sinusoid import SinusoidSignal
from vqgen.prior.signals.rotary import TargetRotarySignal
from vqgen.prior.signals.step import StepSignal
from vqgen.prior.signals.target import TargetSignal

__all__ = [
    "SIGNALS",
    "AdditiveSignal",
    "CellRotation",
    "CellSignal",
    "CellTable",
    "DoubleSignal",
    "InstructionSignal",
    "OwnRotarySignal",
    "RelativeAttention",
    "RelativeReach",
    "RelativeSignal",
    "RotarySignal",
    "Rotation",
    "ShawSignal",
    "SignalCombination",
    "SinusoidSignal",
    "StepSignal",
    "TargetRotarySignal",
    "TargetSignal",
    "combine_signals",
]
