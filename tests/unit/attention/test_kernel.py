import torch

from vqgen.attention import KERNELS, choose_kernel, kernel


def test_short_passes_are_masked_and_long_ones_in_blocks() -> None:
    cpu = torch.device("cpu")
    assert choose_kernel(cpu, training=True, steps=64) == "masked"
    assert choose_kernel(cpu, training=True, steps=4096) == "blocks"


def test_a_gpu_takes_flex_attention_where_it_can_be_compiled(monkeypatch) -> None:
    for available, expected in ((True, "flex"), (False, "blocks")):
        monkeypatch.setattr(kernel, "flex_is_available", lambda available=available: available)
        assert choose_kernel(torch.device("cuda"), training=True, steps=4096) == expected
        assert expected in KERNELS
