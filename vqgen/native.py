"""C++ sources of our own: compiled for this processor by the first process that needs them, and kept."""

import hashlib
import logging
import platform
import shutil
import subprocess
import tempfile
import threading
import warnings
from pathlib import Path

import platformdirs
import torch

from vqgen.processor import SWITCH, switched_off

FLAGS = {
    "AVX512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "AVX2": ["-march=x86-64-v3"],
}
"""By what torch says of the processor; others are built for any."""

_BUILDING = threading.Lock()

_FOUND: dict[tuple[Path, tuple[str, ...]], str | None] = {}
"""What was found for a source and its flags: loading a library twice, from two folders, would end the process."""


def native_hindrance(source: Path, *flags: str, without: str | None = None) -> str | None:
    """Say why the operators of a C++ source cannot be had here; loads them, and first builds them where they were not.

    That takes some 15 seconds, once. They are kept in the user's cache folder for vqgen, by version of torch and kind
    of processor. ``VQGEN_RUNTIME=off`` in the environment leaves them out.

    Args:
        source: defines operators of torch.
        flags: for the compiler, besides those for any source.
        without: what to warn of where there is a compiler and it fails; None for nothing.

    Returns:
        The reason, or None where they can be had.

    Example:
        >>> import tempfile
        >>> empty = Path(tempfile.mkdtemp()) / "empty.cpp"
        >>> empty.write_text("this is no C++") and isinstance(native_hindrance(empty), str)
        True
    """
    with _BUILDING:  # threads that ask at once wait for the first
        if (source, flags) not in _FOUND:
            _FOUND[source, flags] = _hindrance(source, flags, without)
        return _FOUND[source, flags]


def _hindrance(source: Path, flags: tuple[str, ...], without: str | None) -> str | None:
    if switched_off():
        return f"switched off by {SWITCH}"
    if platform.system() != "Linux":
        return f"they are built on Linux, and this is {platform.system()}"
    compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    try:
        torch.ops.load_library(_built(source, flags, compiler))  # type: ignore[no-untyped-call]
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()[-500:]
        if compiler is not None and without is not None:
            warnings.warn(f"{without}: {reason}", stacklevel=3)
        return f"they could not be built: {reason}"
    return None


def _built(source: Path, further: tuple[str, ...], compiler: str | None) -> Path:
    """The library of a source; compiled when it is not there yet."""
    capability = torch.backends.cpu.get_cpu_capability()
    flags = ["-O3", "-std=c++20", "-shared", "-fPIC", "-fopenmp", *FLAGS.get(capability, []), *further]
    flags += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"]
    made_of = "\n".join([source.read_text(), torch.__version__, *flags])
    name = f"{source.stem}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.so"
    library = Path(platformdirs.user_cache_dir("vqgen", appauthor=False)) / "kernels" / name
    if library.exists():
        return library
    if compiler is None:
        raise FileNotFoundError("there is no C++ compiler; install g++ or clang")
    library.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger(__name__).warning("building kernels for this processor, once: some 15 seconds")
    torch_folder = Path(torch.__file__).parent
    include = torch_folder / "include"
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        partial = Path(folder) / name
        command = [compiler, *flags, f"-I{include}", f"-I{include / 'torch/csrc/api/include'}", str(source)]
        command += [f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-lc10", "-o", str(partial)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        partial.replace(library)  # whole or not at all, also when two processes build it
    return library
