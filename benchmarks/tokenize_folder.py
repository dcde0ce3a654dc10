"""`vqgen tokenize` on a large folder: speed by number of workers, memory, processors, and a run that is killed.

    python benchmarks/tokenize_folder.py                   # 20,000 images: the table in vqgen/data/README.md
    python benchmarks/tokenize_folder.py --quick           # a toy, to see that it runs; writes nothing

The folder has links to 100 JPEGs of 320 x 288 pixels, to be scaled and cut to 256 x 256, under as many names as there
shall be images, in folders of 1,000, so that the disk is not what is measured. The tokenizer is an untrained VQGAN made
small (8 pixels folded, then two levels: 16 pixels a cell), which encodes about as fast as files are decoded: then both
stages must share the processors. Each run is the program itself in a process of its own. All its processes are looked
at four times a second in /proc (so this needs Linux): their memory, shared pages counted once, and their processor
time. Speed and processors are those from the first codes written to the last; starting takes some seconds more. The
last run is killed (SIGKILL) halfway, and the same command is given again; its files must be those of the undisturbed
run. Whether memory grows shows between the second and the last quarter of the long run. What a folder takes before the
first image is read is measured by itself, on 200,000 names: that is what grows, in proportion.
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from recording import ROOT, conditions, write_region, write_results

from vqgen import Tokenizer
from vqgen.data import ImageFolder
from vqgen.data.source import SPLITS
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import Decoder, Encoder

README = ROOT / "vqgen" / "data" / "README.md"
SIDE, CELL, ORIGINALS = 256, 16, 100
STORED = (320, 288)
GRID_BYTES = (SIDE // CELL) ** 2 * 2  # codes below 65,536
HEADER = 128
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """What the processes of a run have done and hold at one moment."""

    seconds: float
    images: int
    processor_seconds: float
    megabytes: float


@dataclass
class Run:
    """One run of the program."""

    name: str
    images: int
    images_per_second: float
    processors: float
    start_seconds: float
    all_seconds: float
    peak_megabytes: float
    second_quarter_megabytes: float
    last_quarter_megabytes: float
    first_image: int = 0


@dataclass
class Start:
    """What a folder takes before its first image is read."""

    files: int
    seconds: float
    megabytes: float


def make_images(folder: Path, count: int) -> Path:
    """A folder of JPEGs, most of them the same files under other names."""
    generator = np.random.default_rng(0)
    originals = []
    for number in range(min(ORIGINALS, count)):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8)).resize(STORED)
        noisy = np.asarray(coarse, np.float64) + generator.normal(0, 6, (*STORED[::-1], 3))
        originals.append(folder.with_name(f"{folder.name}-original-{number}.jpeg"))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(originals[-1], quality=90)
    for number in range(count):
        file = folder / f"class-{number // 1000:04}" / f"{number:08}.jpeg"
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals[number % len(originals)], file)
    return folder


def make_tokenizer(folder: Path) -> Path:
    """An untrained tokenizer."""
    torch.manual_seed(0)
    body: dict[str, Any] = {"channels": 16, "multipliers": (1, 2), "latent_channels": 16, "patch": 8, "blocks": 1}
    body |= {"attention_at": (), "middle_attention": False}
    Tokenizer(Encoder(**body), Decoder(**body), EMAVectorQuantizer(codebook_size=1024, dim=16)).save_pretrained(folder)
    return folder


def family(pid: int) -> list[int]:
    """A process and those below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_of(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def megabytes_of(pid: int) -> float:
    """Memory of a process, pages that n processes share as an n-th (PSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def look(pid: int, began: float, codes: Path | None, done: int) -> Sample:
    """One look at a run; `done` is what to report where it has no codes yet, or they have gone to their final place."""
    processes = family(pid)
    ticks = [sum(map(int, fields[11:13])) for one in processes if (fields := stat_of(one))]
    megabytes = sum(map(megabytes_of, processes))
    images = max(0, codes.stat().st_size - HEADER) // GRID_BYTES if codes and codes.exists() else done
    return Sample(time.perf_counter() - began, images, sum(ticks) / TICK, megabytes)


def run(
    name: str, tokenizer: Path, images: Path, out: Path, *, workers: int | None = None, kill_at: int | None = None
) -> Run:
    """Run the program to its end, or until it has done so many images."""
    command = [sys.executable, "-m", "vqgen", "tokenize", "--tokenizer", str(tokenizer), "--out", str(out)]
    command += ["--source", "ImageFolder", "--source.root", str(images), "--source.size", str(SIDE)]
    command += [] if workers is None else ["--num_workers", str(workers)]
    progress = out / "train.partial" / "progress.json"
    first, before = (json.loads(progress.read_text())["done"], progress.stat()) if progress.exists() else (0, None)
    samples, killed = [], False
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            # After the training split comes the small validation split, which is not looked at.
            if not (out / "train").exists():
                # A file that stayed from a run that was killed may have more codes than the next one goes on with.
                own = progress.exists() and (before is None or progress.stat().st_mtime_ns != before.st_mtime_ns)
                samples.append(look(process.pid, began, progress.with_name("codes.npy") if own else None, first))
            if kill_at is not None and samples[-1].images >= kill_at:
                process.send_signal(signal.SIGKILL)
                killed = True
                break
            time.sleep(0.25)
        status = process.wait()
        said.seek(0)
        if status != (-signal.SIGKILL if killed else 0):
            raise RuntimeError(f"{name}: status {status}\n{said.read().decode(errors='replace')}")
    seconds = time.perf_counter() - began
    busy = [sample for sample in samples if sample.images > first]
    if len(busy) < 2:
        raise RuntimeError(f"{name} was over before it could be looked at; take more images")
    start, end = busy[0], max(busy, key=lambda sample: sample.images)
    elapsed = end.seconds - start.seconds

    def memory(quarter: int) -> float:
        """Median in a quarter of the run."""
        chosen = [s.megabytes for s in busy if quarter <= 4 * (s.images - first) / (end.images - first) <= quarter + 1]
        return statistics.median(chosen) if chosen else math.nan

    return Run(
        name,
        images=end.images if killed else len(np.load(out / "train" / "labels.npy")),
        images_per_second=(end.images - start.images) / elapsed,
        processors=(end.processor_seconds - start.processor_seconds) / elapsed,
        start_seconds=start.seconds,
        all_seconds=seconds,
        peak_megabytes=max(sample.megabytes for sample in samples),
        second_quarter_megabytes=memory(1),
        last_quarter_megabytes=memory(3),
        first_image=first,
    )


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    names = [sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) for root in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


def start(folder: Path) -> Start:
    """List a folder, look at the times of its files and split it, as `vqgen tokenize` does before it reads an image."""
    before, began = megabytes_of(os.getpid()), time.perf_counter()
    source = ImageFolder(folder, SIDE).unchecked()
    assert source.fingerprint  # the source keeps both
    assert source.class_names
    datasets = [source.split(split) for split in SPLITS]
    stamps = [dataset.stamps() for dataset in datasets]
    seconds = time.perf_counter() - began
    return Start(sum(map(len, stamps)), seconds, megabytes_of(os.getpid()) - before)


def measure(root: Path, count: int, some: int, workers: Sequence[int]) -> tuple[list[Run], bool]:
    """The runs, and whether the killed one came to the same files in the end."""
    tokenizer = make_tokenizer(root / "tokenizer")
    many = make_images(root / "many", count)
    few = root / "few"
    for file in sorted(many.rglob("*.jpeg"))[:some]:
        target = few / file.relative_to(many)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, target)
    runs = [run(f"{each} workers", tokenizer, few, root / f"workers-{each}", workers=each) for each in workers]
    runs.append(run("default", tokenizer, few, root / "some"))
    runs.append(run("default", tokenizer, many, root / "whole"))
    runs.append(run("default, killed", tokenizer, many, root / "killed", kill_at=count // 2))
    assert not (root / "killed" / "train").exists(), "half the codes look complete"
    runs.append(run("default, again", tokenizer, many, root / "killed"))
    return runs, same_files(root / "whole", root / "killed")


def report(runs: list[Run], same: bool, names: Start, where: str) -> str:
    """The table and what follows from it."""
    lines = [
        f"{where}.",
        "",
        "| run | training images | images/s | processors busy | first codes after | whole run | peak memory | second, "
        "last quarter |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.name} | {f'{each.first_image:,} to ' if each.first_image else ''}{each.images:,} | "
        f"{each.images_per_second:,.0f} | {each.processors:.2f} | {each.start_seconds:.1f} s | "
        f"{each.all_seconds:.0f} s | {each.peak_megabytes:,.0f} MB | {each.second_quarter_megabytes:,.0f}, "
        f"{each.last_quarter_megabytes:,.0f} MB |"
        for each in runs
    ]
    of_each = names.megabytes / names.files
    lines += [
        "",
        f"The killed run, gone on with, gave {'the same files, byte for byte' if same else 'OTHER FILES'}. Before the "
        f"first image is read, {names.files:,} files take {names.seconds:.1f} s and {names.megabytes:.0f} MB: "
        f"{of_each * 2**20:.0f} bytes each, {of_each * 1e6:,.0f} MB for a million.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--some", type=int, help="images of the shorter runs (default: a fifth)")
    parser.add_argument("--folder", type=Path, help="where to make the images (default: the system's temporary folder)")
    parser.add_argument("--quick", action="store_true", help="a toy; writes nothing")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        parser.error("memory and processor time are read in /proc, which is Linux's")
    count = 2000 if options.quick else options.images
    some = count // 2 if options.quick else options.some or count // 5
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        names = start(make_images(Path(folder) / "names", 2_000 if options.quick else 200_000))
        runs, same = measure(Path(folder), count, some, () if options.quick else (0, 1, 2))
    processors = len(os.sched_getaffinity(0))
    images = f"JPEGs of {STORED[0]} x {STORED[1]} pixels at {SIDE} x {SIDE}, {CELL} pixels a cell"
    where = f"{images}, {processors} processors; {conditions()}"
    text = report(runs, same, names, where)
    print(text)
    if not options.quick:
        found = {
            "conditions": where,
            "results": [asdict(each) for each in runs],
            "killed_gave_the_same_files": same,
            "start": asdict(names),
        }
        write_results("tokenize-folder", found)
        write_region(README, "tokenize", text)
    if not same:
        sys.exit("the killed run gave other files")


if __name__ == "__main__":
    main()
