import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from vqgen.data import ArrayImages, Augmented
from vqgen.data.augmented import shifted, turned


def some_images(count: int = 8, height: int = 6, width: int = 5) -> ArrayImages:
    generator = torch.Generator().manual_seed(0)
    return ArrayImages(torch.randint(0, 256, (count, 3, height, width), generator=generator).to(torch.uint8))


def test_without_changes_a_draw_is_the_item_of_its_index() -> None:
    images = some_images()
    assert torch.equal(Augmented(images).batch([3, 8 + 3, 80]).images, images.batch([3, 3, 0]).images)


@pytest.mark.parametrize(
    "options", [{"flip": True}, {"turn": True}, {"shift": 2}, {"transforms": [v2.ColorJitter(0.5, 0.5)]}]
)
def test_a_draw_is_the_same_in_any_company(options: dict[str, object]) -> None:
    images = some_images(width=6)
    augmented = Augmented(images, seed=3, **options)
    draws = [5, 70, 13, 5]
    together = augmented.batch(draws).images
    for draw, image in zip(draws, together, strict=True):
        torch.rand(3)
        assert torch.equal(augmented[draw].images, image)
    assert not torch.equal(
        Augmented(images, seed=4, **options).batch(range(32)).images, augmented.batch(range(32)).images
    )
    epochs = torch.stack([augmented[8 * epoch].images for epoch in range(16)])
    assert len(epochs.unique(dim=0)) > 1


def test_flip_mirrors_about_half_of_the_draws_and_changes_nothing_else() -> None:
    images = some_images(1)
    batch = Augmented(images, flip=True).batch(range(400)).images
    plain = (batch == images[0].images).flatten(1).all(1)
    mirrored = (batch == images[0].images.flip(-1)).flatten(1).all(1)
    assert (plain ^ mirrored).all()
    assert 160 < mirrored.sum() < 240


def test_turn_with_flip_reaches_all_eight_symmetries_of_the_square() -> None:
    images = some_images(1, width=6)
    batch = Augmented(images, flip=True, turn=True).batch(range(400)).images
    pixels = images[0].images
    counts = [
        (batch == torch.rot90(side, quarter, (1, 2))).flatten(1).all(1).sum().item()
        for side in (pixels, pixels.flip(-1))
        for quarter in range(4)
    ]
    assert sum(counts) == 400
    assert min(counts) > 25


def test_images_that_are_not_square_cannot_be_turned() -> None:
    with pytest.raises(ValueError, match="expected square images to turn, got 6 x 5; set turn to false"):
        turned(some_images().images, [0] * 8)


def test_shift_reaches_every_offset_within_its_bounds() -> None:
    images = some_images(1)
    batch = Augmented(images, shift=1).batch(range(300)).images
    pixels = images[0].images
    padded = torch.nn.functional.pad(pixels[None], (1, 1, 1, 1), mode="replicate")[0]
    counts = [
        (batch == padded[:, top : top + 6, left : left + 5]).flatten(1).all(1).sum().item()
        for top in range(3)
        for left in range(3)
    ]
    assert sum(counts) == 300
    assert min(counts) > 10


def test_shifted_in_the_middle_is_the_image() -> None:
    images = some_images().images
    assert torch.equal(shifted(images, [(2, 2)] * 8, 2), images)


def test_transforms_leave_torchs_generator_alone() -> None:
    augmented = Augmented(some_images(), transforms=[v2.RandomVerticalFlip()])
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    augmented.batch(range(8))
    assert torch.equal(torch.rand(1), expected)


def test_a_transform_that_changes_the_size_is_refused() -> None:
    def halve(image: Tensor) -> Tensor:
        return image[:, ::2]

    with pytest.raises(ValueError, match=r"transforms must keep shape and type, got \(3, 3, 5\).*\(3, 6, 5\)"):
        Augmented(some_images(), transforms=[halve]).batch([0])


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(ValueError, match="shift must be >= 0 pixels, got -1"):
        Augmented(some_images(), shift=-1)
