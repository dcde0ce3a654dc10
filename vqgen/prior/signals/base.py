"""What a position signal is: either a vector added to the input of a step, or a rotation of its queries and keys."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.prior.steps import Steps


@dataclass(frozen=True)
class Rotation:
    """Rotation of the feature pairs (i, i + e/2) of queries and keys, one angle per pair.

    Attributes:
        cosine: (b, m, 2, 1, e); along the axis of size 2 first the query's, then the key's. The axis of size 1 is that
            of the heads.
        signed_sine: likewise, negative in the first half of the features.
    """

    cosine: Float[Tensor, "b m 2 1 e"]
    signed_sine: Float[Tensor, "b m 2 1 e"]

    def cut(self, first: int, count: int) -> "Rotation":
        """The rotation of steps ``first .. first + count - 1`` of these."""
        return Rotation(self.cosine.narrow(1, first, count), self.signed_sine.narrow(1, first, count))

    def pick(self, indices: Int[Tensor, " rows"]) -> "Rotation":
        """The rotation of some rows of these, by index."""
        return Rotation(self.cosine.index_select(1, indices), self.signed_sine.index_select(1, indices))

    def after(self, rows: int) -> "Rotation":
        """The rotation of so many rows that sit on no cell and are not turned, and then of these."""
        front = (0, 0, 0, 0, 0, 0, rows, 0)
        return Rotation(F.pad(self.cosine, front, value=1.0), F.pad(self.signed_sine, front))

    def rotate(self, query_key: Float[Tensor, "batch m 2 heads e"]) -> Float[Tensor, "batch m 2 heads e"]:
        """Turn queries and keys (b, m, 2, heads, e) by their angles."""
        half, cosine, signed_sine = query_key.shape[-1] // 2, self.cosine, self.signed_sine
        if cosine.dtype != query_key.dtype:  # under autocast
            cosine, signed_sine = cosine.to(query_key.dtype), signed_sine.to(query_key.dtype)
        # Rolling by half the width brings each feature's partner under it, so both halves rotate in the same three
        # passes.
        return (query_key * cosine).addcmul_(query_key.roll(half, dims=-1), signed_sine)


class RotarySignal(nn.Module, ABC):
    """Base of the signals that rotate queries and keys; built as ``Signal(dim=, heads=, height=, width=)``.

    Attributes:
        rows: rows that the signal lays each step out in, see `vqgen.prior.Rows`.
    """

    rows: ClassVar[int] = 1

    @abstractmethod
    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, steps: Steps) -> Rotation:
        """The rotation of these steps' queries and keys."""


class AdditiveSignal(nn.Module, ABC):
    """Base of the signals that add a vector to a step's input; built as ``Signal(dim=, heads=, height=, width=)``.

    Attributes:
        rows: rows that the signal lays each step out in, see `vqgen.prior.Rows`.
        rotary: a rotary signal that belongs to this one, or None.
    """

    rows: ClassVar[int] = 1

    @abstractmethod
    def __init__(self, *, dim: int, heads: int, height: int, width: int) -> None:
        super().__init__()
        self.rotary: RotarySignal | None = None

    @abstractmethod
    def forward(self, steps: Steps) -> Float[Tensor, "b m d"]:
        """Vectors (b, rows * m, d) to add, or (1, rows * m, d) when all images share the order."""
