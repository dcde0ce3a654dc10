"""What the tokenizer is trained to reduce."""

from vqgen.losses.reconstruction import ReconstructionLoss

__all__ = ["ReconstructionLoss"]
