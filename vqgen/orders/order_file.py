"""Order files: an order of one's own as JSON, to be named by its path."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ORDER_SUFFIX = ".json"
_NUMBERS = ("height", "width", "seed")


def write_order_file(path: str | Path, entries: Mapping[str, Any]) -> Path:
    """Write an order's entries as JSON, whole or not at all.

    Args:
        path: file to write, ending in .json; a missing folder is made.
        entries: name, height, width, seed, fingerprint and positions.

    Returns:
        The path.

    Raises:
        ValueError: if the path ends otherwise.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.json"
        >>> write_order_file(path, {"height": 1, "width": 2, "positions": [1, 0]}).read_text()
        '{"height": 1, "width": 2, "positions": [1, 0]}\\n'
    """
    path = Path(path)
    if path.suffix != ORDER_SUFFIX:
        raise ValueError(f"expected the path of an order file to end in {ORDER_SUFFIX}, got {path}; add the ending")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.part")  # nobody reads half a file under the real name
    try:
        temporary.write_text(json.dumps(dict(entries)) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_order_file(path: str | Path) -> dict[str, Any]:
    """Read the entries of an order file, and make sure that each is of the right kind.

    Args:
        path: the file.

    Returns:
        name (the file's, if it holds none), height, width, seed (0), fingerprint (None) and positions.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or an entry is missing or of another kind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.json"
        >>> _ = path.write_text('{"height": 1, "width": 2, "positions": [1, 0]}')
        >>> read_order_file(path)["name"]
        'mine'
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no order file {path}; ScanOrder.save(path) writes one")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a whole JSON file ({error}); write it again by ScanOrder.save(path)") from None
    needed = {"height", "width", "positions"}
    if not isinstance(found, dict) or needed - found.keys():
        raise ValueError(
            f"{path} is no order file: expected a JSON object with {', '.join(sorted(needed))}, got "
            f"{sorted(found) if isinstance(found, dict) else type(found).__name__}"
        )
    entries = {"name": path.stem, "seed": 0, "fingerprint": None, **found}
    faults = [f"{key} {entries[key]!r} is not a whole number" for key in _NUMBERS if not _is_whole(entries[key])]
    faults += [] if isinstance(entries["name"], str) else [f"name {entries['name']!r} is not text"]
    positions = entries["positions"]
    if not isinstance(positions, list) or not all(map(_is_whole, positions)):
        faults.append("positions are not a list of whole numbers")
    if faults:
        raise ValueError(f"{path} is no order file: {'; '.join(faults)}")
    return entries


def check_fingerprint(found: str, expected: str, *, where: str) -> None:
    """Refuse positions that are not those that were recorded.

    Args:
        found: fingerprint of the positions that are there.
        expected: the one recorded beside them.
        where: what to name in the message.

    Raises:
        ValueError: if they differ.

    Example:
        >>> check_fingerprint("91ca", "91ca", where="mine.json")
    """
    if found != expected:
        raise ValueError(
            f"{where} was changed after it was saved: its positions have fingerprint {found}, recorded is {expected}; "
            "put back the original, or take the fingerprint out if the change is meant"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63  # torch holds no more
