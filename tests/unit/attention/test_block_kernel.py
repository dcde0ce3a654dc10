import torch
from torch import Tensor

from vqgen.attention import block_kernel
from vqgen.attention.block_kernel import attend_block, block_gradients


def blocks() -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    shapes = [(3, 2, 5, 8), (3, 2, 7, 8), (3, 2, 7, 8)]
    seen = torch.rand(3, 5, 7) < 0.5
    seen[:, 0] = False  # a query that meets nothing
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes], seen


def test_the_formulas_written_out_give_what_the_fused_kernel_gives(monkeypatch) -> None:
    (query, keys, values), seen = blocks()
    fused, sums = attend_block(query, keys, values, seen)
    gradient = torch.randn_like(fused)
    parts = block_gradients(query, keys, values, fused, gradient, sums, seen)
    monkeypatch.setattr(block_kernel, "fused_on", lambda device: False)
    plain, plain_sums = attend_block(query, keys, values, seen)
    torch.testing.assert_close(plain[:, :, 1:], fused[:, :, 1:])
    torch.testing.assert_close(plain_sums[:, :, 1:], sums[:, :, 1:].to(plain_sums.dtype))
    assert (plain_sums[:, :, 0] < -1e29).all()
    for here, there in zip(block_gradients(query, keys, values, fused, gradient, sums, seen), parts, strict=True):
        torch.testing.assert_close(here, there)


def test_a_query_that_meets_nothing_weighs_nothing_in_the_whole() -> None:
    (query, keys, values), seen = blocks()
    mixed, sums = attend_block(query, keys, values, seen)
    assert bool(mixed.isfinite().all())
    whole = torch.logaddexp(sums, torch.zeros_like(sums))
    assert bool(((sums - whole).exp()[:, :, 0] == 0).all())
