"""The patterns of the literature, one family a file."""

from vqgen.attention.patterns.axial import ColumnAttention, RowAttention
from vqgen.attention.patterns.big_bird import BigBird, BigBird1D
from vqgen.attention.patterns.convolution import Convolution
from vqgen.attention.patterns.either import Either
from vqgen.attention.patterns.fixed import Fixed, Fixed1D
from vqgen.attention.patterns.local import Local1D, Local2D
from vqgen.attention.patterns.strided import Strided, Strided1D

__all__ = [
    "BigBird",
    "BigBird1D",
    "ColumnAttention",
    "Convolution",
    "Either",
    "Fixed",
    "Fixed1D",
    "Local1D",
    "Local2D",
    "RowAttention",
    "Strided",
    "Strided1D",
]
