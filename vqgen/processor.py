"""What kind of processor this is, for the places that choose an algorithm by it."""

import functools
import platform
from pathlib import Path


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
