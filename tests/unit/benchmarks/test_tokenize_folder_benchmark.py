"""benchmarks/tokenize_folder.py: how it looks at runs, with a stand-in for the program, and its report."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "tokenize_folder.py"

# Stands for the program: 200 grids in two seconds, gone on with after those that its progress tells of.
FAKE = """
import json, sys, time
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--out") + 1])
partial = out / "train.partial"
partial.mkdir(parents=True, exist_ok=True)
progress, codes = partial / "progress.json", partial / "codes.npy"
done = json.loads(progress.read_text())["done"] if progress.exists() else 0
content = codes.read_bytes()[:128 + 512 * done] if done else b"h" * 128
time.sleep(0.5)
with codes.open("wb") as file:
    file.write(content)
    progress.write_text(json.dumps({"done": done}))
    for number in range(done, 200):
        file.write(bytes([number]) * 512)
        file.flush()
        if number == 50:
            progress.write_text(json.dumps({"done": number + 1}))
        time.sleep(0.01)
(partial / "labels.npy").write_bytes(Path(__file__).with_name("labels.npy").read_bytes())
progress.unlink()
partial.rename(out / "train")
"""


pytestmark = pytest.mark.skipif(
    not (PROGRAM.exists() and Path("/proc/self/smaps_rollup").exists()),
    reason="benchmarks are not part of an installed package, and this one reads Linux's /proc",
)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    return importlib.import_module(PROGRAM.stem)


def test_runs_are_looked_at_killed_and_gone_on_with(benchmark, tmp_path, monkeypatch):
    np.save(tmp_path / "labels.npy", np.zeros(200))
    (tmp_path / "fake.py").write_text(FAKE)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "fake.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(benchmark.sys, "executable", str(program))
    whole = benchmark.run("whole", tmp_path, tmp_path, tmp_path / "whole")
    killed = benchmark.run("killed", tmp_path, tmp_path, tmp_path / "killed", kill_at=100)
    assert not (tmp_path / "killed" / "train").exists()
    assert 100 <= killed.images < 200
    again = benchmark.run("again", tmp_path, tmp_path, tmp_path / "killed")
    assert again.first_image == 51
    assert again.start_seconds > 0.25  # the codes beyond the 51st, which the killed run left, are not its own
    assert whole.images == again.images == 200
    assert whole.images_per_second < 100
    assert whole.peak_megabytes > 1
    assert benchmark.same_files(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "killed" / "train" / "codes.npy").write_bytes(b"others")
    assert not benchmark.same_files(tmp_path / "whole", tmp_path / "killed")


def test_the_report_has_every_run_and_what_a_million_names_take(benchmark, tmp_path):
    names = benchmark.start(benchmark.make_images(tmp_path / "names", 60))
    assert names.files == 60
    run = benchmark.Run("default", 1000, 50.0, 1.9, 4.0, 24.0, 700.0, 650.0, 660.0)
    text = benchmark.report([run], True, benchmark.Start(2000, 0.5, 0.2), "here")
    assert "| default | 1,000 | 50 | 1.90 | 4.0 s | 24 s | 700 MB | 650, 660 MB |" in text
    assert "the same files, byte for byte" in text
    assert "2,000 files take 0.5 s and 0 MB: 105 bytes each, 100 MB for a million." in text
