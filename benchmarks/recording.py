"""How a benchmark says what it ran on, and where its table goes."""

import subprocess
from pathlib import Path

import torch

from vqgen.runtime import processor_name

ROOT = Path(__file__).parents[1]


def conditions(device: str = "cpu") -> str:
    """Processor or GPU, threads, version and commit, in words."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "vqgen")
    commit = (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
    accelerator = "" if device == "cpu" else f"{torch.cuda.get_device_name(device)} beside "
    processor = f"{accelerator}{processor_name()}, {torch.get_num_threads()} threads"
    return f"{processor}, torch {torch.__version__}, commit {commit}"


def write_region(readme: Path, name: str, text: str) -> None:
    """Put text between the two marks of a name in a README."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = readme.read_text().split(begin)
    readme.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
