"""Moving weights from one naming to another, with an account of every name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from vqgen.tokenizer import Tokenizer

SHOWN = 20
"""Names of one kind that an error lists before it only counts."""


class Transfer:
    """Takes tensors out of another project's state dict by name and collects what ours is made of.

    Every name that is asked for and not there, and every name that nobody asked for, ends in the error of `into`.

    Args:
        weights: the other project's state dict.
        source: its name, for messages.

    Example:
        >>> import torch
        >>> transfer = Transfer({"q.weight": torch.ones(2, 2), "loss.weight": torch.ones(1)}, source="made")
        >>> transfer.copy("query", "q", leaves=("weight",))
        >>> transfer.ours["query.weight"].shape, transfer.left_over()
        (torch.Size([2, 2]), ['loss.weight'])
    """

    def __init__(self, weights: Mapping[str, Tensor], source: str) -> None:
        self.weights = weights
        self.source = source
        self.ours: dict[str, Tensor] = {}
        self.taken: set[str] = set()
        self.missing: list[str] = []

    def take(self, name: str) -> Tensor | None:
        """A tensor by the other project's name, in fp32; None, and remembered, where there is none."""
        self.taken.add(name)
        if name not in self.weights:
            self.missing.append(name)
            return None
        return self.weights[name].float()

    def put(self, name: str, tensor: Tensor | None) -> None:
        """A tensor by our name; None, for one that was missing, is passed over."""
        if tensor is not None:
            self.ours[name] = tensor.contiguous()

    def copy(self, ours: str, theirs: str, leaves: Iterable[str] = ("weight", "bias")) -> None:
        """Copy the tensors of a layer as they are.

        Args:
            ours: our name of the layer.
            theirs: the other project's name of it.
            leaves: its tensors, of the same name on both sides.
        """
        for leaf in leaves:
            self.put(f"{ours}.{leaf}", self.take(f"{theirs}.{leaf}"))

    def left_over(self, ignored: Iterable[str] = ()) -> list[str]:
        """Names that nobody asked for.

        Args:
            ignored: beginnings of names that belong to no tokenizer, such as a discriminator's.

        Returns:
            The names, sorted.
        """
        beginnings = tuple(ignored)
        return sorted(name for name in self.weights if name not in self.taken and not name.startswith(beginnings))

    def into(self, tokenizer: Tokenizer, ignored: Iterable[str] = ()) -> Tokenizer:
        """Load what was collected into a tokenizer, strictly.

        Args:
            tokenizer: of the sizes that fit. What its quantizer counts (buffers) keeps its fresh value.
            ignored: beginnings of names that may be left over.

        Returns:
            The tokenizer, in evaluation mode.

        Raises:
            ValueError: if a name is missing or left over or a shape differs; all are named.
        """
        expected = tokenizer.state_dict()
        counted = {f"quantizer.{name}" for name, _ in tokenizer.quantizer.named_buffers()}
        shapes = [
            f"{name} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            for name, tensor in self.ours.items()
            if name in expected and tensor.shape != expected[name].shape
        ]
        unfilled = set(expected) - set(self.ours) - counted
        problems = [
            _listed("missing in the checkpoint", self.missing),
            _listed("left over in the checkpoint", self.left_over(ignored)),
            _listed("of another shape", shapes),
            # Where a name is missing, so is what would have been made of it: one of the two messages is enough.
            _listed("not filled in the tokenizer", [] if self.missing else sorted(unfilled)),
            _listed("unknown to the tokenizer", sorted(set(self.ours) - set(expected))),
        ]
        if any(problems):
            raise ValueError(
                f"the checkpoint is not one of {self.source} as it is published; "
                + "; ".join(problem for problem in problems if problem)
                + ". Is it of another project, or of another version?"
            )
        tokenizer.load_state_dict({**expected, **self.ours}, strict=True)
        return tokenizer.eval()


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"
