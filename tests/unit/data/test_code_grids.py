import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from vqgen.data import CodeGrids
from vqgen.data.code_grids import RandomViews, write_code_grids


def write(target: Path, *, codebook_size: int = 300, views: int = 3, count: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, codebook_size, (views, count, 2, 4), generator=generator)
    codes[0, 0, 0, :2] = torch.tensor([0, codebook_size - 1])
    write_code_grids(
        target,
        codes.flatten(0, 1).split(4),
        torch.arange(count) - 1,
        views=views,
        grid_size=(2, 4),
        codebook_size=codebook_size,
        image_size=(16, 32),
        class_names=("a", "b", "c", "d"),
        tokenizer="t" * 16,
        source="s" * 16,
    )
    return codes


def test_codes_come_back_as_they_were_written(tmp_path: Path) -> None:
    codes = write(tmp_path / "codes")
    grids = CodeGrids(tmp_path / "codes", tokenizer="t" * 16, source="s" * 16)
    batch = grids.batch([4, 0, 4], [0, 1, 2])
    assert torch.equal(batch.codes, torch.stack([codes[0, 4], codes[1, 0], codes[2, 4]]))
    assert batch.codes.dtype == torch.int64
    assert batch.labels.tolist() == [3, -1, 3]
    assert torch.equal(grids.batch(range(5)).codes, codes[0])
    assert torch.equal(grids[-1].codes, codes[0, 4])
    assert (len(grids), grids.views, grids.grid_size, grids.image_size) == (5, 3, (2, 4), (16, 32))
    assert (grids.codebook_size, grids.class_names) == (300, ("a", "b", "c", "d"))
    with pytest.raises(IndexError, match=r"index must lie in \[0, 5\), got 5"):
        grids[5]


@pytest.mark.parametrize(
    ("codebook_size", "dtype"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (70_000, "uint32")]
)
def test_codes_are_kept_in_the_smallest_integers(tmp_path: Path, codebook_size: int, dtype: str) -> None:
    codes = write(tmp_path / "codes", codebook_size=codebook_size)
    assert np.load(tmp_path / "codes" / "codes.npy").dtype == dtype
    assert torch.equal(CodeGrids(tmp_path / "codes").batch(range(5)).codes, codes[0])


def test_another_tokenizer_or_source_is_refused_by_both_names(tmp_path: Path) -> None:
    write(tmp_path / "codes")
    with pytest.raises(
        ValueError, match=r"the tokenizer t{16}, but this run has the tokenizer other; name another fol"
    ):
        CodeGrids(tmp_path / "codes", tokenizer="other")
    with pytest.raises(ValueError, match=r"the image source s{16}, but this run has the image source new"):
        CodeGrids(tmp_path / "codes", tokenizer="t" * 16, source="new")


def test_a_folder_without_codes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere holds no codes .*; make them with: vqgen tokenize"):
        CodeGrids(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["truncated codes", "no labels", "other shape", "half a meta", "no header"])
def test_damaged_folders_are_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "codes"
    write(folder)
    content = (folder / "codes.npy").read_bytes()
    if damage == "truncated codes":
        (folder / "codes.npy").write_bytes(content[:-10])
    elif damage == "no header":
        (folder / "codes.npy").write_bytes(b"")
    elif damage == "no labels":
        (folder / "labels.npy").unlink()
    elif damage == "other shape":
        np.save(folder / "codes.npy", np.zeros((3, 5, 2, 3), np.uint16))
    else:
        (folder / "meta.json").write_text((folder / "meta.json").read_text()[:20])
    with pytest.raises(ValueError, match=r"are damaged.*remove the folder and make it anew"):
        CodeGrids(folder)


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "codes")
    meta = tmp_path / "codes" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "format": "vqgen-codes-9"}))
    with pytest.raises(ValueError, match="format 'vqgen-codes-9', this version of vqgen reads 'vqgen-codes-1'"):
        CodeGrids(tmp_path / "codes")


def test_the_format_on_disk_is_fixed(tmp_path: Path) -> None:
    write(tmp_path / "codes", codebook_size=4, views=1, count=1)
    assert json.loads((tmp_path / "codes" / "meta.json").read_text()) == {
        "format": "vqgen-codes-1",
        "shape": [1, 1, 2, 4],
        "codebook_size": 4,
        "image_size": [16, 32],
        "class_names": ["a", "b", "c", "d"],
        "tokenizer": "t" * 16,
        "source": "s" * 16,
    }
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == ["codes.npy", "labels.npy", "meta.json"]


def test_codes_out_of_range_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"codes must lie in \[0, 4\), got 0 to 4"):
        write_code_grids(
            tmp_path / "codes",
            [torch.tensor([[[0, 4]]])],
            torch.tensor([0]),
            views=1,
            grid_size=(1, 2),
            codebook_size=4,
            image_size=(8, 16),
            class_names=(),
            tokenizer="t",
            source="s",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_worker_opens_the_file_itself(tmp_path: Path) -> None:
    write(tmp_path / "codes", count=2000)
    grids = CodeGrids(tmp_path / "codes")
    sent = pickle.dumps(grids)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).batch([7]).codes, grids.batch([7]).codes)


def test_random_views_follow_the_draw_and_reach_every_view(tmp_path: Path) -> None:
    codes = write(tmp_path / "codes")
    draws = RandomViews(CodeGrids(tmp_path / "codes"), seed=2)
    batch = draws.batch([5 * epoch + 3 for epoch in range(60)])
    views = (batch.codes[:, None] == codes[None, :, 3]).flatten(2).all(2)
    assert (views.sum(1) == 1).all()
    assert (views.sum(0) > 8).all()
    assert torch.equal(draws.batch([5 * 9 + 3]).codes[0], batch.codes[9])
    assert set(batch.labels.tolist()) == {2}
