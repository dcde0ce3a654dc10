"""How a benchmark says what it ran on, how much memory it took, and where its figures and its table go."""

import contextlib
import gc
import json
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vqgen.runtime import processor_name

ROOT = Path(__file__).parents[1]
README = ROOT / "benchmarks" / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


def git(*arguments: str) -> str:
    """What git says in this repository; empty where there is none."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout.strip()


def commit() -> str:
    """The commit that is measured, and whether the package differs from it."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "vqgen")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def version_of(package: str) -> str:
    """Version of an installed package, or that it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def conditions(device: str = "cpu") -> str:
    """Processor or GPU, threads, version and commit, in words."""
    accelerator = "" if device == "cpu" else f"{torch.cuda.get_device_name(device)} beside "
    processor = f"{accelerator}{processor_name()}, {torch.get_num_threads()} threads"
    return f"{processor}, torch {torch.__version__}, commit {commit()}"


def own_peak_megabytes() -> float:
    """Peak resident memory of this process."""
    if Path("/proc/self/status").exists():  # Linux counts a parent's memory into a child's ru_maxrss
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak() -> None:
    """Let Linux count this process' peak memory anew; elsewhere it stays the peak of everything."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def write_results(name: str, found: Any) -> None:
    """Keep figures as results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    _replace(RESULTS / f"{name}.json", json.dumps(found, indent=2) + "\n")


def write_region(readme: Path, name: str, text: str) -> None:
    """Put text between the two marks of a name in a README."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = readme.read_text().split(begin)
    _replace(readme, f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    half = path.with_name(f".{path.name}.half")
    half.write_text(text)
    half.replace(path)
