"""Shared by all tests: annotations are checked at run time, few threads, nothing written outside a temporary folder."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests are about the CPU path, which is what every machine has

# Files run side by side, one process a core; two threads that wait for each other would only be in their way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from jaxtyping import install_import_hook

install_import_hook("vqgen", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


@pytest.fixture(scope="session", autouse=True)
def kernels() -> None:
    """Build and load our own kernels first: tests with a cache folder of their own would each wait for the compiler."""
    from vqgen.attention import gemv_hindrance
    from vqgen.tokenizer.winograd import winograd_hindrance

    gemv_hindrance()
    winograd_hindrance()
