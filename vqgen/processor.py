"""What kind of processor this is, for the places that choose an algorithm by it, and whether they are to choose."""

import functools
import os
import platform
from pathlib import Path

SWITCH = "VQGEN_RUNTIME"


@functools.cache
def processor_is_intel() -> bool:
    """Whether the CPU is Intel's, on which MKL's matrix products run at full speed.

    Example:
        >>> processor_is_intel() in (True, False)
        True
    """
    description = platform.processor()
    if Path("/proc/cpuinfo").exists():  # Linux leaves platform.processor() empty
        description += Path("/proc/cpuinfo").read_text(errors="replace")[:500]
    return "GenuineIntel" in description


def mkl_is_slow() -> bool:
    """Whether MKL, where torch has it, multiplies below this processor's rate: on x86, Intel's excepted.

    Example:
        >>> mkl_is_slow() in (True, False)
        True
    """
    return platform.machine().lower() in ("x86_64", "amd64") and not processor_is_intel()


@functools.cache
def processor_has_vnni() -> bool:
    """Whether the CPU is known to multiply and sum 8-bit integers in one instruction without overflow.

    Example:
        >>> processor_has_vnni() in (True, False)
        True
    """
    if not Path("/proc/cpuinfo").exists():
        return False
    return "vnni" in Path("/proc/cpuinfo").read_text(errors="replace")


def switched_off() -> bool:
    """Whether the environment says to leave the process as it is: ``VQGEN_RUNTIME=off``.

    Example:
        >>> switched_off() in (True, False)
        True
    """
    return os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no")
