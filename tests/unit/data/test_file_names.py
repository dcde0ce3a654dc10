import pickle

import pytest

from vqgen.data.file_names import FileNames

NAMES = ["a/b.png", "ä 1.jpg", "", "not-utf8-\udcff.png"]


def test_names_come_back_as_they_were() -> None:
    names = FileNames(NAMES)
    assert list(names) == NAMES
    assert [names[index] for index in range(-4, 4)] == NAMES + NAMES
    assert len(names) == 4
    assert (names.index("ä 1.jpg"), "a/b.png" in names, "b.png" in names) == (1, True, False)
    assert len(FileNames([])) == 0


def test_parts_of_the_names_are_names() -> None:
    names = FileNames(NAMES)
    assert list(names.take([2, 0, 0])) == ["", "a/b.png", "a/b.png"]
    assert list(names[1:]) == NAMES[1:]
    assert list(names[::-1]) == NAMES[::-1]


def test_an_index_beyond_the_end_is_refused() -> None:
    with pytest.raises(IndexError, match=r"index must lie in \[0, 4\), got 4"):
        FileNames(NAMES)[4]


def test_other_processes_get_them_in_few_bytes() -> None:
    names = FileNames(f"{number:08}.jpeg" for number in range(1000))
    sent = pickle.dumps(names)
    assert len(sent) < 1000 * (13 + 8) + 1000
    assert list(pickle.loads(sent)) == list(names)
