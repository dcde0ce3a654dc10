import os
from pathlib import Path

import pytest
from PIL import Image

from vqgen.data import file_check
from vqgen.data.file_check import broken_files, file_stamps

FILES = ["a.png", "b/c.png", "d.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file in FILES:
        (tmp_path / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / file)
    (tmp_path / "images" / "d.png").write_bytes(b"no image")
    return tmp_path / "images"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    looked: list[str] = []
    decode = file_check.decode_file

    def spy(path: Path) -> object:
        looked.append(path.name)
        return decode(path)

    monkeypatch.setattr(file_check, "decode_file", spy)
    return looked


def test_broken_files_are_found_with_their_error(root: Path, tmp_path: Path) -> None:
    found = broken_files(root, FILES, tmp_path / "cache")
    assert list(found) == ["d.png"]
    assert "cannot read the image" in found["d.png"]


def test_a_file_is_looked_at_once_until_it_changes(root: Path, tmp_path: Path, looked_at: list[str]) -> None:
    for _ in range(2):
        assert list(broken_files(root, FILES, tmp_path / "cache")) == ["d.png"]
    assert sorted(looked_at) == ["a.png", "c.png", "d.png"]
    Image.new("RGB", (8, 8)).save(root / "d.png")
    (root / "a.png").write_bytes((root / "a.png").read_bytes()[:40])
    os.utime(root / "b" / "c.png", ns=(1, 1))
    looked_at.clear()
    assert list(broken_files(root, FILES, tmp_path / "cache")) == ["a.png"]
    assert sorted(looked_at) == ["a.png", "c.png", "d.png"]
    looked_at.clear()
    assert list(broken_files(root, FILES[:2], tmp_path / "cache")) == ["a.png"]
    assert looked_at == []


@pytest.mark.parametrize("damage", ["{", "[1, 2]", '{"a.png": 3}'])
def test_a_damaged_record_is_made_anew(root: Path, tmp_path: Path, damage: str) -> None:
    broken_files(root, FILES, tmp_path / "cache")
    (record,) = (tmp_path / "cache").rglob("*.json")
    record.write_text(damage)
    assert list(broken_files(root, FILES, tmp_path / "cache")) == ["d.png"]


def test_what_was_looked_at_before_an_interruption_is_not_looked_at_again(
    root: Path, tmp_path: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = file_check.decode_file

    def interrupted(path: Path) -> object:
        if path.name == "d.png":
            raise KeyboardInterrupt
        return spy(path)

    monkeypatch.setattr(file_check, "_AT_ONCE", 1)
    monkeypatch.setattr(file_check, "decode_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broken_files(root, FILES, tmp_path / "cache")
    looked_at.clear()
    monkeypatch.setattr(file_check, "decode_file", spy)
    assert list(broken_files(root, FILES, tmp_path / "cache")) == ["d.png"]
    assert looked_at == ["d.png"]


def test_stamps_tell_files_apart_and_change_with_them(root: Path) -> None:
    before = file_stamps(root, FILES).tolist()
    assert len(set(before)) == 3
    assert file_stamps(root, FILES[::-1]).tolist() == before[::-1]
    os.utime(root / "a.png", ns=(1, 1))
    (root / "d.png").write_bytes(b"an image")
    after = file_stamps(root, FILES).tolist()
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, False]
