"""Evaluating trained models: figures together with the conditions that they hold under.

An FID means little without the images it refers to, how they were cut, the network, and their number; so no figure
leaves this room without them.
"""

from vqgen.evaluation.record import Evaluation
from vqgen.evaluation.reference import Reference
from vqgen.evaluation.tokenizer import evaluate_tokenizer

__all__ = ["Evaluation", "Reference", "evaluate_tokenizer"]
