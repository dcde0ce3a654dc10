"""Looking at every image file once before training starts, and remembering what was found."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqgen.data.cache import short_hash
from vqgen.data.decode import decode_file

_AT_ONCE = 4096
_log = logging.getLogger(__name__)


def broken_files(root: Path, files: Sequence[str], cache: Path) -> dict[str, str]:
    """Find the files that cannot be decoded.

    What was found is kept in a file below `cache`; a file is looked at again only when its size or time of change is
    another.

    Args:
        root: the folder the files are in.
        files: their paths below it, with "/".
        cache: where to keep what was found.

    Returns:
        The error of each broken file, by its path.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = (root / "a.png").write_bytes(b"no image")
        >>> list(broken_files(root, ["a.png"], root / "cache"))
        ['a.png']
    """
    record = cache / "checked-files" / f"{root.name}-{short_hash(str(root.resolve()))}.json"
    known = _read_record(record)
    stamps = {file: file_stamp(root / file) for file in files}
    new = [file for file in files if file not in known or known[file][:2] != stamps[file]]
    if new:
        _log.info("Checking %d image files in %s", len(new), root)

        def problem(file: str) -> str:
            try:
                decode_file(root / file)
            except ValueError as error:
                return str(error)
            return ""

        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding the interpreter's lock
                for start in range(0, len(new), _AT_ONCE):  # the pool would keep something for each of a million
                    some = new[start : start + _AT_ONCE]
                    for file, found in zip(some, pool.map(problem, some), strict=True):
                        known[file] = [*stamps[file], found]
        finally:  # when interrupted, what was looked at is not looked at again
            _write_record(record, {file: known[file] for file in files if file in known})
    return {file: str(known[file][2]) for file in files if known[file][2]}


def file_stamp(path: Path) -> list[int]:
    """The size of a file in bytes and its time of change in nanoseconds: equal stamps, presumably equal files."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def file_stamps(root: Path, files: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A number for each file that changes with its name, its size and its time of change.

    Args:
        root: the folder the files are in.
        files: n paths below it.

    Returns:
        (n,): 8 bytes a file, however long its name.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = [(root / name).write_bytes(b"...") for name in ("a.png", "b.png")]
        >>> len(set(file_stamps(root, ["a.png", "b.png"]).tolist()))
        2
    """

    def digest(file: str) -> int:
        text = json.dumps([file, *file_stamp(root / file)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    return np.fromiter(map(digest, files), dtype=np.uint64, count=len(files))


def _read_record(record: Path) -> dict[str, list[int | str]]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged record only costs looking again
        return {}
    sound = isinstance(content, dict) and all(isinstance(entry, list) and len(entry) == 3 for entry in content.values())
    return content if sound else {}


def _write_record(record: Path, content: dict[str, list[int | str]]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_name(f"{record.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(record)
