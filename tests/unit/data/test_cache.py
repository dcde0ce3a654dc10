from pathlib import Path

import pytest

from vqgen.data.cache import cache_folder, file_digest, short_hash, whole_folder


def test_whole_folder_replaces_what_stood_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "entry"
    for text in ("first", "second"):
        with whole_folder(target) as folder:
            (folder / text).write_text(text)
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in target.parent.iterdir()] == ["entry"]


def test_whole_folder_leaves_the_target_alone_on_an_error(tmp_path: Path) -> None:
    target = tmp_path / "entry"
    with whole_folder(target) as folder:
        (folder / "good").touch()

    def write_half() -> None:
        with whole_folder(target) as folder:
            (folder / "half").touch()
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert [path.name for path in target.iterdir()] == ["good"]
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_whole_folder_is_not_seen_before_it_is_complete(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "entry"):
        assert not (tmp_path / "entry").exists()
    assert (tmp_path / "entry").is_dir()


def test_whole_folder_accepts_that_another_process_was_faster(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "entry") as mine, whole_folder(tmp_path / "entry") as theirs:
        (mine / "mine").touch()
        (theirs / "theirs").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
    assert len(list((tmp_path / "entry").iterdir())) == 1


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "vqgen"
    assert cache_folder("elsewhere") == Path("elsewhere")


def test_short_hash_depends_on_content_only() -> None:
    assert short_hash({"a": 1, "b": [2, 3]}) == short_hash({"b": (2, 3), "a": 1})
    assert len({short_hash(value) for value in ([1, 2], [2, 1], [12], "12", 12, None)}) == 6


def test_file_digest_sees_one_bit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3_000_000))
    before = file_digest(file)
    file.write_bytes(bytes(2_999_999) + b"\1")
    assert file_digest(file) != before
