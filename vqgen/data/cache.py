"""Folders of derived files: where they live, and how one appears whole or not at all."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder for files that can be made again: the one given, or the user's cache folder for vqgen.

    Args:
        cache: a folder, or None for the platform's own (on Linux `$XDG_CACHE_HOME/vqgen`, else `~/.cache/vqgen`).

    Returns:
        The folder's path; it may not exist yet.

    Example:
        >>> cache_folder("/data/cache").as_posix()
        '/data/cache'
    """
    return Path(platformdirs.user_cache_dir("vqgen", appauthor=False)) if cache is None else Path(cache).expanduser()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Write a folder that appears at `target` only when it is complete, replacing what stood there.

    The files are written to a sibling folder, which is renamed at the end of the block; on an error it is removed and
    `target` stays as it was. Of two processes that write the same target at once, one wins.

    Args:
        target: where the folder shall stand.

    Yields:
        The folder to write into.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "entry"
        >>> with whole_folder(target) as folder:
        ...     _ = (folder / "a.txt").write_text("hello")
        >>> (target / "a.txt").read_text()
        'hello'
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = target.with_name(f".{target.name}.partial-{suffix}")
    partial.mkdir()
    try:
        yield partial
        replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to a target in the same place, whatever stands there.

    Args:
        source: the folder.
        target: its new name; a folder that has it is removed.

    Example:
        >>> import tempfile
        >>> source, target = (Path(tempfile.mkdtemp()) / "entry" for _ in range(2))
        >>> source.mkdir(), target.mkdir()
        (None, None)
        >>> replace_folder(source, target)
        >>> source.exists(), target.exists()
        (False, True)
    """
    aside = target.with_name(f".{target.name}.old-{os.getpid()}-{secrets.token_hex(4)}")  # a full one is in the way
    with suppress(FileNotFoundError):
        target.rename(aside)
    try:
        source.rename(target)
    except OSError:
        # Another process put its own there in between, which is as good as ours.
        if not target.is_dir():
            raise
    shutil.rmtree(aside, ignore_errors=True)


def short_hash(description: object) -> str:
    """A 16-digit name for anything JSON can write: equal descriptions, equal names, on every machine.

    Args:
        description: numbers, strings, None, lists, tuples and dicts of them.

    Returns:
        16 hexadecimal digits of its SHA-256.

    Example:
        >>> short_hash({"size": [64, 64]})
        '2571f79cfb74e223'
    """
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> file_digest(path)[:16]
        'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
