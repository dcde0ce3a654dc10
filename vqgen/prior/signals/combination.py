"""Position signals by name, built and checked to go together."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from vqgen.prior.signals.base import AdditiveSignal, RotarySignal
from vqgen.prior.signals.cell import CellSignal
from vqgen.prior.signals.double import DoubleSignal
from vqgen.prior.signals.instruction import InstructionSignal
from vqgen.prior.signals.relative import RelativeSignal
from vqgen.prior.signals.relative_shaw import ShawSignal
from vqgen.prior.signals.relative_sinusoid import SinusoidSignal
from vqgen.prior.signals.rotary import TargetRotarySignal
from vqgen.prior.signals.step import StepSignal
from vqgen.prior.signals.target import TargetSignal

SIGNALS: dict[str, type[AdditiveSignal] | type[RotarySignal] | type[RelativeSignal]] = {
    "step": StepSignal,
    "cell": CellSignal,
    "target": TargetSignal,
    "rotary": TargetRotarySignal,
    "instruction": InstructionSignal,
    "double": DoubleSignal,
    "shaw": ShawSignal,
    "relative": SinusoidSignal,
}
"""Signals by the name a configuration uses; add a class here to make it available everywhere."""


@dataclass(frozen=True)
class SignalCombination:
    """Signals that act together.

    Attributes:
        additive: those that add to the input, by key.
        rotary: the one that rotates queries and keys, or None.
        rows: rows that they lay each step out in.
        relative: the class of the one that adds to the scores of attention, which every layer builds anew; or None.
    """

    additive: nn.ModuleDict
    rotary: RotarySignal | None
    rows: int
    relative: type[RelativeSignal] | None = None


def combine_signals(names: Sequence[str], *, dim: int, heads: int, height: int, width: int) -> SignalCombination:
    """Build the signals of these names.

    Args:
        names: keys of `SIGNALS`, each once.
        dim: width of the prior, d.
        heads: attention heads.
        height: rows of the grid, h.
        width: columns of the grid, w.

    Returns:
        The signals.

    Raises:
        ValueError: when there is none, a name is unknown or comes twice, or they do not go together.

    Example:
        >>> combined = combine_signals(("target", "rotary"), dim=16, heads=2, height=2, width=3)
        >>> list(combined.additive), type(combined.rotary).__name__, combined.rows
        (['target'], 'TargetRotarySignal', 1)
    """
    if not names:
        raise ValueError(f"signals must name at least one of {', '.join(SIGNALS)}, got none")
    additive, rotary, relative = nn.ModuleDict(), None, None
    for name in names:
        if name not in SIGNALS:
            raise ValueError(f"signals must be among {', '.join(SIGNALS)}, got {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"signals must differ from each other, got {name!r} twice")
        rows, first_rows = SIGNALS[name].rows, SIGNALS[names[0]].rows
        if rows != first_rows:
            raise ValueError(
                f"signals must lay out steps alike, got {names[0]!r} with {first_rows} rows a step and {name!r} with "
                f"{rows}; use either alone"
            )
        signal_class = SIGNALS[name]
        if issubclass(signal_class, RelativeSignal):
            if relative is not None:
                raise ValueError(f"at most one signal can add to the scores of attention, got {name!r} as a second one")
            relative = signal_class
            continue
        signal = signal_class(dim=dim, heads=heads, height=height, width=width)
        if isinstance(signal, AdditiveSignal):
            # A key of nn.ModuleDict cannot be the name of a method of modules, as `double` is.
            additive[f"{name}_signal" if hasattr(nn.Module, name) else name] = signal
        own = signal.rotary if isinstance(signal, AdditiveSignal) else signal
        if own is not None and rotary is not None:
            raise ValueError(f"at most one signal can rotate queries and keys, got {name!r} as a second one")
        rotary = own or rotary
    if relative is not None and rotary is not None:
        raise ValueError(
            f"signals tell displacements by turning queries and keys or by adding to their scores, got both in "
            f"{', '.join(names)}; leave one out"
        )
    return SignalCombination(additive, rotary, SIGNALS[names[0]].rows, relative)
