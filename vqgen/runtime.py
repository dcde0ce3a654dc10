"""Settings of the process that make the CPU faster and change no result: what the program sets before it works.

Importing vqgen sets nothing; the command line and the scripts do, each for as long as it runs.
"""

import ctypes
import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vqgen.processor import SWITCH, switched_off

CGROUP = Path("/sys/fs/cgroup")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy")

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

BATCH_BYTES = 2**20
"""From this size on, memory of a process that reads batches is given back once freed."""


@dataclass(frozen=True)
class Setting:
    """One thing that was set, or not.

    Attributes:
        name: what it is about.
        done: whether it was set.
        why: what was set, or why not.
    """

    name: str
    done: bool
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {'yes' if self.done else 'no'}, {self.why}"


@contextmanager
def prepared_runtime() -> Iterator[tuple[Setting, ...]]:
    """Set the process up for large tensors on the CPU; ``VQGEN_RUNTIME=off`` in the environment leaves it alone.

    - *Freed memory* is kept for the next tensor in place of being given back to the system, which would hand every page
      out anew, zeroed, at its first touch: with large tensors that takes as long as the arithmetic (glibc only).
    - *Denormal numbers*, below 1.2e-38 in fp32, count as zero: on many processors arithmetic with them is several times
      as slow, and an optimizer's averages decay into them.
    - *Threads* are no more than a container's share of processors allows, unless the environment says how many.

    Everything stays fp32. At the end of the block, denormals (in this thread) and the number of threads are as before;
    the memory stays the process'. Enter it before the first large tensor: threads take over how their starter treats
    denormals.

    Yields:
        What was set, and what was not and why.

    Example:
        >>> with prepared_runtime() as settings:
        ...     names = [setting.name for setting in settings]
        >>> names
        ['freed memory kept', 'denormals as zero', 'threads limited']
    """
    if switched_off():
        off = f"switched off by {SWITCH}"
        yield tuple(Setting(name, False, off) for name in ("freed memory kept", "denormals as zero", "threads limited"))
        return
    flushed, threads = _denormals_are_zero(), torch.get_num_threads()
    try:
        yield keep_freed_memory(), flush_denormals(), limit_threads()
    finally:
        torch.set_flush_denormal(flushed)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def keep_freed_memory() -> Setting:
    """Let glibc's malloc keep what is freed; elsewhere nothing happens. It lasts as long as the process."""
    # Largest values: no block is mapped by itself, and the heap's end is never given back.
    hindrance = _set_malloc(2**31 - 1)
    return Setting("freed memory kept", hindrance is None, hindrance or f"glibc {platform.libc_ver()[1]}")


def give_batches_back() -> None:
    """In a process that reads batches for another: let glibc's malloc give their memory back once they are handed on.

    Left alone, it cuts small pieces out of the places that batches leave, so that the next no longer fit there: such
    processes grew by a gigabyte in a few hundred batches. ``VQGEN_RUNTIME=off`` switches this off too.
    """
    if not switched_off():
        _set_malloc(BATCH_BYTES)


def _set_malloc(threshold: int) -> str | None:
    """Have glibc map blocks from this size on by themselves, and give back its heap's end from that size on.

    Returns:
        What hinders it, or None.
    """
    if platform.libc_ver()[0] != "glibc":
        return f"{platform.system()} without glibc manages memory by itself"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError) as error:
        return f"the C library offers no mallopt ({error})"
    if not (mallopt(M_MMAP_THRESHOLD, threshold) and mallopt(M_TRIM_THRESHOLD, threshold)):
        return "glibc refused the thresholds"
    return None


def flush_denormals() -> Setting:
    """Treat denormal numbers as zero where the processor can."""
    done = torch.set_flush_denormal(True)
    return Setting("denormals as zero", done, "below 1.2e-38" if done else f"{platform.machine()} cannot")


def limit_threads(cgroup: Path = CGROUP) -> Setting:
    """Use no more threads than the processors that a container may use: more would wait for each other.

    Args:
        cgroup: where Linux shows the container's limits.

    Returns:
        Whether the number was lowered.
    """
    name, threads = "threads limited", torch.get_num_threads()
    for variable in THREAD_VARIABLES:
        if variable in os.environ:
            return Setting(name, False, f"{threads}, as {variable} is set")
    allowed = allowed_processors(cgroup)
    if allowed >= threads:
        return Setting(name, False, f"{threads} of {os.cpu_count()} processors")
    torch.set_num_threads(max(1, math.floor(allowed)))
    return Setting(name, True, f"{torch.get_num_threads()} in place of {threads}: the container's share is {allowed:g}")


def allowed_processors(cgroup: Path = CGROUP) -> float:
    """Processors' worth of time that a Linux container may use; infinity without a limit.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "cpu.max").write_text("250000 100000")
        >>> allowed_processors(folder)
        2.5
    """
    try:
        if (cgroup / "cpu.max").exists():  # version 2
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if quota.strip() != "max" and int(quota) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


def describe_system(*further: Setting) -> str:
    """Versions, machine, devices, what `prepared_runtime` sets here, and further settings, as lines of text."""
    from vqgen import __version__

    def installed(package: str) -> str:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return f"{package} not installed"

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices += ["Apple GPU (mps)"] if torch.backends.mps.is_available() else []
    with prepared_runtime() as settings:
        lines = [
            f"vqgen {__version__}, Python {platform.python_version()}, {', '.join(map(installed, PACKAGES))}",
            f"{platform.system()} {platform.release()}, {processor_name()}, {os.cpu_count()} processors",
            f"threads: {torch.get_num_threads()}",
            f"GPUs: {', '.join(devices) or 'none'}",
            *map(str, (*settings, *further)),
        ]
    return "\n".join(lines)


def processor_name() -> str:
    """The processor's name as the system tells it."""
    if Path("/proc/cpuinfo").exists():  # Linux leaves platform.processor() empty
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _denormals_are_zero() -> bool:
    return bool((torch.tensor(1e-40) * 1.0 == 0).item())
