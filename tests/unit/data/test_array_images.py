import pytest
import torch
from torch.utils.data import DataLoader

from vqgen.data import ArrayImages, ImageBatch, to_bytes, to_unit_range


def some_images(count: int = 6) -> ArrayImages:
    pixels = torch.randint(0, 256, (count, 3, 5, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return ArrayImages(pixels, torch.arange(count))


def test_every_byte_survives_the_way_to_unit_range_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    unit = to_unit_range(levels)
    assert (unit.min().item(), unit.max().item()) == (-1.0, 1.0)
    torch.testing.assert_close(unit.flatten(), torch.linspace(-1, 1, 256))
    assert torch.equal(to_bytes(unit), levels)


def test_to_bytes_clips() -> None:
    assert to_bytes(torch.tensor([[[-7.0, 7.0, 0.003]]])).tolist() == [[[0, 255, 128]]]


def test_batch_equals_items_one_by_one() -> None:
    dataset = some_images()
    batch = dataset.batch([4, 0, 4])
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    for image, label, index in zip(batch.images, batch.labels, [4, 0, 4], strict=True):
        assert torch.equal(image, dataset.images[index] / 127.5 - 1)
        assert torch.equal(image, dataset[index].images)
        assert label == dataset[index].labels == index


def test_an_ordinary_data_loader_collates_items_to_batches() -> None:
    batches = list(DataLoader(some_images(), batch_size=4))
    assert all(isinstance(batch, ImageBatch) for batch in batches)
    assert [tuple(batch.images.shape) for batch in batches] == [(4, 3, 5, 4), (2, 3, 5, 4)]
    assert torch.equal(torch.cat([batch.labels for batch in batches]), torch.arange(6))


def test_indices_count_from_the_end_and_end_where_the_images_do() -> None:
    dataset = some_images()
    assert torch.equal(dataset[-1].images, dataset[5].images)
    with pytest.raises(IndexError, match=r"index must lie in \[0, 6\), got 6"):
        dataset[6]
    assert len(list(iter(dataset))) == 6  # type: ignore[call-overload]


def test_images_without_labels_have_minus_one() -> None:
    assert ArrayImages(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)).labels.tolist() == [-1, -1]


def test_unequal_numbers_of_images_and_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="images and labels must be equally many, got 2 and 3"):
        ArrayImages(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
