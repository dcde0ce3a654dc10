import pytest
import torch

from vqgen.conditioning import Unconditional


def test_unconditional_starts_every_image_alike() -> None:
    conditioner = Unconditional(8)
    assert torch.equal(conditioner(None, batch_size=3).start, conditioner.start.expand(3, 8))


def test_unconditional_refuses_a_condition() -> None:
    with pytest.raises(ValueError, match="takes no condition, got labels; pass condition=None"):
        Unconditional(8)(torch.tensor([1]), batch_size=1)
