"""The autoregressive Transformer prior over codes, and the position signals it is told where it is by."""

from vqgen.prior.block import Block, SelfAttention
from vqgen.prior.code_features import CodeFeatures
from vqgen.prior.code_transformer import CodeTransformer, check_arguments
from vqgen.prior.cross_attention import CrossAttention
from vqgen.prior.feed_forward import GeluFeedForward, SwiGLUFeedForward
from vqgen.prior.located import Located
from vqgen.prior.masked import MASKED_SIGNALS, MaskedPrior
from vqgen.prior.masking import MASKINGS, masked_counts
from vqgen.prior.rows import Rows
from vqgen.prior.segments import with_memory
from vqgen.prior.signals import (
    SIGNALS,
    AdditiveSignal,
    CellSignal,
    DoubleSignal,
    InstructionSignal,
    RelativeAttention,
    RelativeSignal,
    RotarySignal,
    Rotation,
    ShawSignal,
    SinusoidSignal,
    StepSignal,
    TargetRotarySignal,
    TargetSignal,
)
from vqgen.prior.steps import NO_CELL, Steps, check_positions, steps_asking, steps_of
from vqgen.prior.style import STYLES, Style
from vqgen.prior.transformer import Prior

__all__ = [
    "MASKED_SIGNALS",
    "MASKINGS",
    "NO_CELL",
    "SIGNALS",
    "STYLES",
    "AdditiveSignal",
    "Block",
    "CellSignal",
    "CodeFeatures",
    "CodeTransformer",
    "CrossAttention",
    "DoubleSignal",
    "GeluFeedForward",
    "InstructionSignal",
    "Located",
    "MaskedPrior",
    "Prior",
    "RelativeAttention",
    "RelativeSignal",
    "RotarySignal",
    "Rotation",
    "Rows",
    "SelfAttention",
    "ShawSignal",
    "SinusoidSignal",
    "StepSignal",
    "Steps",
    "Style",
    "SwiGLUFeedForward",
    "TargetRotarySignal",
    "TargetSignal",
    "check_arguments",
    "check_positions",
    "masked_counts",
    "steps_asking",
    "steps_of",
    "with_memory",
]
