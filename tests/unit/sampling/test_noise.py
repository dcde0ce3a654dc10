import numpy as np
import pytest
import torch

from vqgen.sampling import image_uniforms

GOLDEN = [0.011546754286331562, 0.24154919656271812, 0.11142585551493822]


def test_image_uniforms_belong_to_seed_and_index() -> None:
    together = image_uniforms(7, first_index=0, batch_size=5, steps=9)
    apart = torch.cat([image_uniforms(7, first_index=index, batch_size=1, steps=9) for index in range(5)])
    assert torch.equal(together, apart)


def test_image_uniforms_of_a_longer_run_begin_with_those_of_a_shorter_one() -> None:
    longer = image_uniforms(7, first_index=2, batch_size=2, steps=40)
    assert torch.equal(longer[:, :9], image_uniforms(7, first_index=2, batch_size=2, steps=9))


def test_image_uniforms_are_the_documented_generator() -> None:
    expected = np.random.Generator(np.random.Philox(key=np.array([7, 3], dtype=np.uint64))).random(4)
    assert image_uniforms(7, first_index=3, batch_size=1, steps=4)[0].tolist() == expected.tolist()


def test_image_uniforms_keep_the_values_they_have_always_had() -> None:
    values = image_uniforms(0, first_index=0, batch_size=1, steps=3)[0]
    torch.testing.assert_close(values, torch.tensor(GOLDEN, dtype=torch.float64), atol=1e-9, rtol=0.0)


def test_image_uniforms_of_many_images_are_all_different_and_uniform() -> None:
    uniforms = image_uniforms(-1, first_index=2**40, batch_size=2000, steps=4)
    assert len(uniforms.unique(dim=0)) == 2000
    assert uniforms.min() >= 0.0
    assert uniforms.max() < 1.0
    assert abs(float(uniforms.mean()) - 0.5) < 0.02


def test_image_uniforms_refuse_a_negative_index() -> None:
    with pytest.raises(ValueError, match="first_index must be >= 0, got -1"):
        image_uniforms(0, first_index=-1, batch_size=1, steps=1)
