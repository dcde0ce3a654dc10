"""Looking at every image file once before training starts, and remembering what was found."""

import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vqgen.data.cache import short_hash
from vqgen.data.decode import decode_file

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

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding the interpreter's lock
            for file, found in zip(new, pool.map(problem, new), strict=True):
                known[file] = [*stamps[file], found]
        _write_record(record, {file: known[file] for file in files})
    return {file: str(known[file][2]) for file in files if known[file][2]}


def file_stamp(path: Path) -> list[int]:
    """The size of a file in bytes and its time of change in nanoseconds: equal stamps, presumably equal files."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


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
