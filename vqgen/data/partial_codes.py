"""Codes that are being made: a folder that a run which was stopped goes on with."""

import json
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int
from torch import Tensor

from vqgen.data.cache import replace_folder
from vqgen.data.code_writer import CodeFacts, CodeWriter

PROGRESS_FILE, STAMPS_FILE = "progress.json", "stamps.npy"


class PartialCodes:
    """The folder `NAME.partial` beside the folder of codes NAME, which it becomes when it is complete.

    It holds the grids done so far and, in `progress.json`, their number and what they were made of. The number is
    written after the grids, by renaming a file, so a run that is killed loses its last seconds only. Grids that were
    made of something else are never gone on with.

    Used as a context: at its end, by an error too, everything done is on the disk.

    Args:
        target: the folder of codes that is to be.
        facts: what is recorded with the codes.
        stamps: (n,) numbers that tell the images apart: where the source is another one, but the images done are the
            first of it too, the run goes on. None where there are none.
        save_every: seconds from one writing of the progress to the next.

    Attributes:
        folder: the partial folder.

    Raises:
        ValueError: if the folder is there and holds codes made of something else.

    Example:
        >>> import tempfile, torch
        >>> target = Path(tempfile.mkdtemp()) / "train"
        >>> facts = CodeFacts((1, 3, 2, 2), 8, image_size=(16, 16), class_names=(), tokenizer="a", source="b")
        >>> with PartialCodes(target, facts) as partial:
        ...     partial.append(torch.ones(2, 2, 2).long())
        >>> with PartialCodes(target, facts) as partial:
        ...     partial.done, target.exists()
        (2, False)
    """

    def __init__(
        self,
        target: Path,
        facts: CodeFacts,
        *,
        stamps: npt.NDArray[np.uint64] | None = None,
        save_every: float = 10.0,
    ) -> None:
        self.target = target
        self.folder = target.with_name(f"{target.name}.partial")
        self._facts = facts.as_meta()
        self._save_every = save_every
        done = self._done_before(stamps)
        if not done:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        self._writer = CodeWriter(self.folder / "codes.npy", facts, done=done)
        if stamps is not None:
            with (self.folder / f"{STAMPS_FILE}.new").open("wb") as file:
                np.save(file, stamps)
            (self.folder / f"{STAMPS_FILE}.new").replace(self.folder / STAMPS_FILE)
        self._save()

    @property
    def done(self) -> int:
        """Grids that are done."""
        return self._writer.done

    def append(self, codes: Int[Tensor, "_ h w"]) -> None:
        """Add the codes of the next images.

        Args:
            codes: any number of grids.

        Raises:
            ValueError: if a code is out of range.
        """
        self._writer.append(codes)
        if time.monotonic() - self._saved_at >= self._save_every:
            self._save()

    def finish(self, labels: npt.NDArray[np.int64]) -> None:
        """Complete the folder and give it its name; what has that name is removed.

        Args:
            labels: (n,) class numbers.
        """
        self._writer.complete(labels)
        replace_folder(self.folder, self.target)
        # Not before: a run stopped in between would have nothing to go on with.
        for name in (PROGRESS_FILE, STAMPS_FILE):
            (self.target / name).unlink(missing_ok=True)

    def __enter__(self) -> "PartialCodes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.folder.is_dir():  # not finished
            self._save()
        self._writer.close()

    def _save(self) -> None:
        self._writer.flush()
        new = self.folder / f"{PROGRESS_FILE}.new"
        new.write_text(json.dumps({"done": self.done, "made_of": self._facts}, indent=2) + "\n", encoding="utf-8")
        new.replace(self.folder / PROGRESS_FILE)
        self._saved_at = time.monotonic()

    def _done_before(self, stamps: npt.NDArray[np.uint64] | None) -> int:
        """The number of grids of an earlier run to go on with."""
        try:
            progress = json.loads((self.folder / PROGRESS_FILE).read_text(encoding="utf-8"))
            done, before = int(progress["done"]), dict(progress["made_of"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return 0  # stopped before anything was done
        wanted = _deciding(self._facts)
        others = [name for name, value in _deciding(before).items() if wanted[name] != value]
        if not done or not others or (others == ["image source"] and self._began_with(stamps, done)):
            return done
        differences = ", ".join(f"{name} {_deciding(before)[name]}, now {wanted[name]}" for name in others)
        raise ValueError(
            f"{self.folder} holds {done} grids of codes of a run that was stopped and that made them of something else "
            f"({differences}); repeat that run to complete it, name another folder, or remove this one to begin anew"
        )

    def _began_with(self, stamps: npt.NDArray[np.uint64] | None, done: int) -> bool:
        """Whether the images done are the first of those that are to be done."""
        file = self.folder / STAMPS_FILE
        if stamps is None or not file.is_file():
            return False
        before = np.load(file, allow_pickle=False)
        return done <= min(len(before), len(stamps)) and np.array_equal(before[:done], stamps[:done])


def _deciding(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that decide the codes of an image, by names for a message."""
    return {
        "tokenizer": facts.get("tokenizer"),
        "image source": facts.get("source"),
        "image size": facts.get("image_size"),
        "views": (facts.get("shape") or [None])[0],
        "changes": facts.get("changes"),
    }
