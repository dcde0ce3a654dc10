import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from vqgen.data.code_writer import CodeFacts, CodeWriter


def facts(count: int, side: int = 2, codebook_size: int = 300) -> CodeFacts:
    return CodeFacts((1, count, side, side), codebook_size, (16, 16), (), tokenizer="t", source="s")


def test_a_file_is_gone_on_with_although_there_will_be_more_of_them(tmp_path: Path) -> None:
    file, codes = tmp_path / "codes.npy", torch.arange(12 * 4).view(12, 2, 2)
    writer = CodeWriter(file, facts(9))
    writer.append(codes[:8])
    writer.close()
    writer = CodeWriter(file, facts(12), done=7)  # the eighth is not said to be done
    writer.append(codes[7:])
    writer.complete(np.zeros(12, np.int64))
    assert np.load(file)[0].tolist() == codes.tolist()
    assert np.load(file).dtype == np.uint16


def test_memory_does_not_grow_with_the_codes(tmp_path: Path) -> None:
    writer, codes = CodeWriter(tmp_path / "codes.npy", facts(10_000_000, side=32)), torch.zeros(64, 32, 32).long()
    tracemalloc.start()
    try:
        for _ in range(100):
            writer.append(codes)
        assert tracemalloc.get_traced_memory()[1] < 2e6  # 13 MB were written
    finally:
        tracemalloc.stop()
        writer.close()


def test_codes_out_of_range_are_refused(tmp_path: Path) -> None:
    writer = CodeWriter(tmp_path / "codes.npy", facts(3))
    with pytest.raises(ValueError, match=r"codes must lie in \[0, 300\), got -1 to 300; pass the codebook size"):
        writer.append(torch.tensor([[[0, 300], [-1, 2]]]))
    writer.close()
    assert writer.done == 0
