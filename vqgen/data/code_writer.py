"""Writing grids of codes to a file as they come."""

import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int
from torch import Tensor

FORMAT = "vqgen-codes-1"


@dataclass(frozen=True)
class CodeFacts:
    """What is recorded with codes, in `meta.json`.

    Attributes:
        shape: (views, n, h, w).
        codebook_size: codes lie in [0, codebook_size).
        image_size: (H, W) of the images.
        class_names: the names of the labels.
        tokenizer: the tokenizer's fingerprint.
        source: the image source's fingerprint.
        changes: how the further views are changed; None where there are none.
    """

    shape: tuple[int, int, int, int]
    codebook_size: int
    image_size: tuple[int, int]
    class_names: tuple[str, ...]
    tokenizer: str
    source: str
    changes: dict[str, Any] | None = None

    def as_meta(self) -> dict[str, Any]:
        """The content of `meta.json`."""
        meta = {"format": FORMAT, **asdict(self)}
        if self.changes is None:
            del meta["changes"]
        return json.loads(json.dumps(meta))  # as it will be read


class CodeWriter:
    """Writes a file of codes grid by grid, so that memory holds no more than a batch of them.

    Args:
        file: `codes.npy` in its folder.
        facts: what is recorded with the codes.
        done: grids that the file has from an earlier writer, after which to go on; 0 begins anew.

    Attributes:
        rows: grids there will be, views * n.
        done: grids written, the earlier ones included.

    Raises:
        ValueError: if the file has fewer grids than it should.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "codes.npy"
        >>> facts = CodeFacts((1, 3, 2, 2), 8, image_size=(16, 16), class_names=(), tokenizer="a", source="b")
        >>> for done, codes in ((0, torch.ones(2, 2, 2)), (2, torch.zeros(1, 2, 2))):
        ...     writer = CodeWriter(file, facts, done=done)
        ...     writer.append(codes.long())
        ...     writer.close()
        >>> np.load(file).sum(axis=(2, 3)).tolist()
        [[4, 4, 0]]
    """

    def __init__(self, file: Path, facts: CodeFacts, *, done: int = 0) -> None:
        self.facts = facts
        self.rows = facts.shape[0] * facts.shape[1]
        self.done = done
        self._folder = file.parent
        self._dtype = code_dtype(facts.codebook_size)
        header = io.BytesIO()
        description = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": facts.shape}
        np.lib.format.write_array_header_1_0(header, description)
        # Always of this length, so that n may change from one writer to the next.
        assert len(header.getvalue()) == 128, f"expected a header of 128 bytes, got {len(header.getvalue())}"
        end = 128 + done * facts.shape[2] * facts.shape[3] * self._dtype.itemsize
        if done and (not file.is_file() or file.stat().st_size < end):
            raise ValueError(f"{file} is damaged: expected {done} grids of codes, found fewer; remove the folder")
        self._file = file.open("r+b" if done else "wb")
        self._file.write(header.getvalue())
        self._file.seek(end)
        self._file.truncate()

    def append(self, codes: Int[Tensor, "_ h w"]) -> None:
        """Write further grids.

        Args:
            codes: any number of them.

        Raises:
            ValueError: if a code is out of range.
        """
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < self.facts.codebook_size:
            raise ValueError(
                f"codes must lie in [0, {self.facts.codebook_size}), got {int(codes.min())} to {int(codes.max())}; "
                "pass the codebook size of the tokenizer that made them"
            )
        size = self.facts.shape[2:]
        assert codes.shape[1:] == size, f"expected grids of {size}, got {tuple(codes.shape[1:])}"
        self._file.write(codes.cpu().numpy().astype(self._dtype).tobytes())
        self.done += len(codes)

    def flush(self) -> None:
        """Have the disk hold what was written."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        self._file.close()

    def complete(self, labels: npt.NDArray[np.int64]) -> None:
        """Close the file and write what a folder of codes has beside it.

        Args:
            labels: (n,) class numbers.
        """
        assert self.done == self.rows, f"expected {self.rows} grids of codes, got {self.done}"
        self.close()
        np.save(self._folder / "labels.npy", labels)
        (self._folder / "meta.json").write_text(json.dumps(self.facts.as_meta(), indent=2) + "\n", encoding="utf-8")


def code_dtype(codebook_size: int) -> np.dtype[Any]:
    """The smallest unsigned integers that hold the codes of a codebook.

    Example:
        >>> [code_dtype(size).name for size in (256, 257, 65536, 65537)]
        ['uint8', 'uint16', 'uint16', 'uint32']
    """
    return np.min_scalar_type(codebook_size - 1)
