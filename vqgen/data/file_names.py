"""A long list of paths in little memory."""

import os
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt


class FileNames(Sequence[str]):
    """Paths kept as one text and the places where they end: some 50 bytes each, where a list of str takes 150.

    Processes that read files share it: a list would be copied by each, since looking at a str counts its references.

    Args:
        names: the paths.

    Example:
        >>> names = FileNames(["cats/1.jpg", "dogs/2.jpg"])
        >>> len(names), names[1], list(names.take([0]))
        (2, 'dogs/2.jpg', ['cats/1.jpg'])
    """

    def __init__(self, names: Iterable[str]) -> None:
        text, ends = bytearray(), array("q", [0])
        for name in names:
            text += os.fsencode(name)  # as the system has it: names need not be valid text
            ends.append(len(text))
        self._text = bytes(text)
        self._ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "FileNames": ...
    def __getitem__(self, index: int | slice) -> "str | FileNames":
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), got {index}")
        start, end = self._ends[index % len(self) :][:2].tolist()
        return os.fsdecode(self._text[start:end])

    def take(self, indices: Iterable[int] | npt.NDArray[np.int64]) -> "FileNames":
        """The paths at these indices, in their order."""
        return FileNames(self[int(index)] for index in indices)
