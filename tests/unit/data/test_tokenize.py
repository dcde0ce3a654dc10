import json
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor, nn

from vqgen.data import CodeGrids, ImageFolder, SyntheticImages
from vqgen.data.tokenize import tokenize_images


class Brightness:
    """A tokenizer whose codes can be foreseen: the red at the upper left of each 4 x 4 cell, in 8 levels."""

    codebook_size = 8
    downsampling = 4
    depth = 1

    def encode(self, images: Tensor) -> Tensor:
        return ((images[:, 0, ::4, ::4] + 1) * 4).long().clamp(0, 7)

    def fingerprint(self) -> str:
        return "brightness"


SOURCE = SyntheticImages(10, (16, 24), num_classes=3)


def test_the_first_view_is_the_image_and_the_second_its_mirror_image(tmp_path: Path) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=2, batch_size=4)
    grids = CodeGrids(tmp_path / "codes", tokenizer="brightness", source=SOURCE.fingerprint)
    images, labels = SOURCE.split("train").batch(range(10))
    assert torch.equal(grids.batch(range(10)).codes, Brightness().encode(images))
    assert torch.equal(grids.batch(range(10), [1] * 10).codes, Brightness().encode(images.flip(-1)))
    assert torch.equal(grids.labels, labels)
    assert (grids.grid_size, grids.image_size, grids.class_names) == ((4, 6), (16, 24), SOURCE.class_names)


def test_further_views_differ_and_are_the_same_every_time(tmp_path: Path) -> None:
    codes = []
    for name, batch_size, workers in (("a", 3, 0), ("b", 10, 2)):
        options = {"batch_size": batch_size, "num_workers": workers}
        tokenize_images(Brightness(), SOURCE, "train", tmp_path / name, views=4, shift=3, **options)
        grids = CodeGrids(tmp_path / name)
        codes.append(torch.stack([grids.batch(range(10), [view] * 10).codes for view in range(4)]))
    assert torch.equal(*codes)
    assert len(codes[0].flatten(1).unique(dim=0)) == 4


def test_without_flips_no_view_is_mirrored(tmp_path: Path) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3, flip=False, shift=0)
    grids = CodeGrids(tmp_path / "codes")
    for view in range(3):
        assert torch.equal(grids.batch(range(10), [view] * 10).codes, grids.batch(range(10)).codes)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    tokenize_images(
        Brightness(), SOURCE, "train", tmp_path / "codes", views=2, batch_size=4, progress=lambda *at: seen.append(at)
    )
    assert seen == [(done, 20) for done in (4, 8, 12, 16, 20)]


def test_a_module_encodes_in_evaluation_mode_and_is_left_as_it_was(tmp_path: Path) -> None:
    class Checked(nn.Module, Brightness):
        def encode(self, images: Tensor) -> Tensor:
            assert not self.training
            assert torch.is_inference_mode_enabled()
            return Brightness.encode(self, images)

    tokenizer = Checked().train()
    tokenize_images(tokenizer, SOURCE, "validation", tmp_path / "codes")
    assert tokenizer.training


def test_a_size_that_the_tokenizer_cannot_divide_is_refused_before_encoding(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"divisible by the tokenizer's downsampling 4, got 16 x 18"):
        tokenize_images(Brightness(), SyntheticImages(10, (16, 18)), "train", tmp_path / "codes")
    with pytest.raises(ValueError, match="views must be >= 1, got 0"):
        tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=0)
    assert not (tmp_path / "codes").exists()


class Stopping(Brightness):
    """Stops after some batches, as a user would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def encode(self, images: Tensor) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().encode(images)


def stop_after(batches: int, folder: Path, **options: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        tokenize_images(Stopping(batches), SOURCE, "train", folder, batch_size=4, **{"views": 3, **options})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("batches", [0, 1, 5])
def test_a_stopped_run_goes_on_and_gives_the_same_files(tmp_path: Path, batches: int) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "whole", views=3, batch_size=4)
    stop_after(batches, tmp_path / "codes")
    assert not (tmp_path / "codes").exists()
    with pytest.raises(FileNotFoundError, match="holds no codes"):
        CodeGrids(tmp_path / "codes.partial")
    seen: list[int] = []
    encoder = Stopping(8 - batches)  # enough only if nothing is done twice
    options = {"views": 3, "batch_size": 4, "progress": lambda done, _: seen.append(done)}
    tokenize_images(encoder, SOURCE, "train", tmp_path / "codes", **options)
    assert content(tmp_path / "codes") == content(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes", "whole"]
    assert seen[0] == (3, 3, 18)[[0, 1, 5].index(batches)]
    assert seen[-1] == 30


def test_complete_codes_are_kept(tmp_path: Path) -> None:
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3)
    seen: list[tuple[int, int]] = []
    tokenize_images(Stopping(0), SOURCE, "train", tmp_path / "codes", views=3, progress=lambda *at: seen.append(at))
    assert seen == [(30, 30)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 2}, "views 3, now 2"),
        ({"seed": 1}, r"changes .*'seed': 0.*, now .*'seed': 1"),
        ({"flip": False}, r"changes .*'flip': True.*, now .*'flip': False"),
        ({"source": SyntheticImages(11, (16, 24), num_classes=3)}, "image source .*, now "),
    ],
)
def test_what_was_made_of_something_else_is_not_gone_on_with(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    stop_after(2, tmp_path / "codes")
    arguments = {"source": SOURCE, "views": 3, **change}
    with pytest.raises(ValueError, match=rf"codes.partial holds 7 grids .*{message}.* or remove this one to begin"):
        tokenize_images(Brightness(), split="train", folder=tmp_path / "codes", **arguments)
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3, batch_size=4)
    with pytest.raises(ValueError, match="name another folder for the codes, or remove this one"):
        tokenize_images(Brightness(), split="train", folder=tmp_path / "codes", **arguments)


def test_another_tokenizer_is_refused_by_both_names(tmp_path: Path) -> None:
    class Other(Brightness):
        def fingerprint(self) -> str:
            return "other"

    stop_after(2, tmp_path / "codes")
    with pytest.raises(ValueError, match="tokenizer brightness, now other"):
        tokenize_images(Other(), SOURCE, "train", tmp_path / "codes", views=3)


def test_a_damaged_partial_folder_is_refused_or_begun_anew(tmp_path: Path) -> None:
    stop_after(2, tmp_path / "codes")
    codes = tmp_path / "codes.partial" / "codes.npy"
    codes.write_bytes(codes.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged: expected 7 grids of codes, found fewer; remove the folder"):
        tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3)
    (tmp_path / "codes.partial" / "progress.json").write_text("{")
    tokenize_images(Brightness(), SOURCE, "train", tmp_path / "codes", views=3)
    assert len(CodeGrids(tmp_path / "codes")) == 10


def photos(root: Path, count: int = 12) -> Path:
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        (root / "photos").mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels).save(root / "photos" / f"{number:02}.png")
    return root / "photos"


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("mending", ["remove", "mend", "skip"])
def test_after_a_broken_image_the_run_goes_on(tmp_path: Path, mending: str, num_workers: int) -> None:
    root = photos(tmp_path)
    whole = (root / "07.png").read_bytes()
    (root / "07.png").write_bytes(whole[:60])

    def run(encoder: Brightness, name: str, on_error: Literal["raise", "skip"] = "raise") -> None:
        source = ImageFolder(root, 8, validation_fraction=0, on_error=on_error, cache=tmp_path / "cache")
        tokenize_images(encoder, source, "train", tmp_path / name, batch_size=3, num_workers=num_workers)

    message = (
        r"^cannot read the image .*07\.png: .*; mend or remove it, or pass on_error='skip' .*"
        r"codes of 6 images of 12 are kept in .*codes.partial; the same command goes on after them$"
    )
    with pytest.raises(ValueError, match=message):
        run(Brightness(), "codes")
    on_error: Literal["raise", "skip"] = "raise"
    if mending == "remove":
        (root / "07.png").unlink()
    elif mending == "mend":
        (root / "07.png").write_bytes(whole)
    else:
        on_error = "skip"
    run(Stopping(3), "codes", on_error)
    run(Brightness(), "anew", on_error)
    assert len(CodeGrids(tmp_path / "codes")) == (12 if mending == "mend" else 11)
    assert content(tmp_path / "codes") == content(tmp_path / "anew")


def test_images_that_changed_are_not_gone_on_with(tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / "07.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot read the image"):
        tokenize_images(Brightness(), ImageFolder(root, 8), "train", tmp_path / "codes", batch_size=3)
    (root / "07.png").unlink()
    Image.new("RGB", (8, 8)).save(root / "02.png")
    with pytest.raises(ValueError, match=r"image source .*, now"):
        tokenize_images(Brightness(), ImageFolder(root, 8), "train", tmp_path / "codes", batch_size=3)


def test_files_are_not_looked_at_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqgen.data.folder.broken_files", lambda *_: pytest.fail("looked at"))
    source = ImageFolder(photos(tmp_path), 8, validation_fraction=0)
    tokenize_images(Brightness(), source, "train", tmp_path / "codes")
    assert CodeGrids(tmp_path / "codes", source=source.fingerprint).grid_size == (2, 2)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    # The process kills itself while it encodes its third batch.
    program = """
import os, signal, sys
from pathlib import Path
import test_tokenize
from vqgen.data import ImageFolder, tokenize, partial_codes

class Killed(test_tokenize.Brightness):
    left = 2
    def encode(self, images):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().encode(images)

root = Path(sys.argv[1])
partial_codes.PartialCodes.__init__.__kwdefaults__["save_every"] = 0.0
tokenize.tokenize_images(Killed(), ImageFolder(root / "photos", 8, validation_fraction=0), "train", root / "codes",
                         batch_size=3, num_workers=0)
"""
    root = photos(tmp_path)
    process = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parent, timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "codes.partial" / "progress.json").read_text())["done"] == 6
    source = ImageFolder(root, 8, validation_fraction=0)
    tokenize_images(Stopping(2), source, "train", tmp_path / "codes", batch_size=3)
    tokenize_images(Brightness(), source, "train", tmp_path / "whole", batch_size=3)
    assert content(tmp_path / "codes") == content(tmp_path / "whole")


def test_a_second_process_waits_and_then_finds_the_codes_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = Event()

    def first() -> None:
        with FileLock(tmp_path / ".codes.lock"):
            held.set()
            while "Another process is writing" not in caplog.text:
                time.sleep(0.01)
            tokenize_images(Brightness(), SOURCE, "train", tmp_path / "elsewhere")
            (tmp_path / "elsewhere").rename(tmp_path / "codes")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        held.wait(60)
        tokenize_images(Stopping(0), SOURCE, "train", tmp_path / "codes")
        done.result()
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_memory_for_a_folder_is_some_bytes_for_each_image(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    names = [f"n{number:08}.jpeg" for number in range(1000)]
    for name in names:
        (tmp_path / "images" / name).touch()
    tracemalloc.start()
    try:
        source = ImageFolder(tmp_path / "images", 8).unchecked()
        dataset = source.split("train")
        kept = (source.fingerprint, dataset.stamps())
        assert kept
        each = tracemalloc.get_traced_memory()[0] / len(names)
    finally:
        tracemalloc.stop()
    assert each < 100  # names of the folder, names and labels of the split, stamps; 1000 str alone take 65 each
