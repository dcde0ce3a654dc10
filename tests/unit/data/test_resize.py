import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.data.resize import resize_and_crop

sides = st.integers(1, 40)
wanted = st.integers(2, 40)


@given(height=sides, width=sides, size=st.tuples(wanted, wanted), place=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=80, deadline=None)
def test_any_size_comes_out_as_asked(
    height: int, width: int, size: tuple[int, int], place: tuple[float, float]
) -> None:
    image = torch.full((3, height, width), 77, dtype=torch.uint8)
    result = resize_and_crop(image, size, place=place)
    assert result.shape == (3, *size)
    assert (result == 77).all()


def test_an_image_of_the_right_size_is_unchanged() -> None:
    image = torch.arange(2 * 3 * 4 * 5).to(torch.uint8).view(2, 3, 4, 5)
    assert torch.equal(resize_and_crop(image, (4, 5)), image)


@pytest.mark.parametrize(("place", "expected"), [(0.0, [0, 1]), (0.5, [2, 3]), (1.0, [4, 5])])
def test_place_chooses_the_cut(place: float, expected: list[int]) -> None:
    image = torch.arange(6).to(torch.uint8).expand(1, 2, 6)
    assert resize_and_crop(image, (2, 2), place=(0.5, place))[0, 0].tolist() == expected


def test_a_batch_is_resized_like_each_of_its_images() -> None:
    images = torch.randint(0, 256, (4, 3, 20, 30), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    together = resize_and_crop(images, (8, 8))
    assert torch.equal(together, torch.stack([resize_and_crop(image, (8, 8)) for image in images]))


def test_shrinking_averages_rather_than_skips() -> None:
    stripes = (torch.arange(64) % 2 * 255).to(torch.uint8).expand(1, 64, 64)
    middle = resize_and_crop(stripes, (16, 16))[0, :, 2:-2].float()
    assert 120 < middle.mean() < 135
    assert middle.std() < 12
