import torch

from vqgen.data import SyntheticImages
from vqgen.data.image_data import ImageDataModule


def test_facts_of_the_source_are_passed_on() -> None:
    data = ImageDataModule(SyntheticImages(8, (16, 24), channels=1, num_classes=2))
    assert (data.image_size, data.channels, data.num_classes) == ((16, 24), 1, 2)
    assert data.class_names == ("disc", "square")


def test_training_batches_are_changed_and_validation_batches_are_not() -> None:
    source = SyntheticImages(32, 16)
    data = ImageDataModule(source, batch_size=8, flip=True, shift=2)
    train = torch.cat([batch.images for batch in data.train_dataloader()])
    plain = {image.numpy().tobytes() for image in source.split("train").batch(range(32)).images}
    assert len(train) == 32
    assert sum(image.numpy().tobytes() in plain for image in train) < 16
    validation = list(data.val_dataloader())
    assert [len(batch.labels) for batch in validation] == [8]
    assert torch.equal(validation[0].images, source.split("validation").batch(range(8)).images)


def test_every_constructor_argument_is_kept() -> None:
    source = SyntheticImages(8)
    arguments = {"batch_size": 3, "num_workers": 2, "flip": True, "shift": 1, "seed": 5, "pin_memory": False}
    data = ImageDataModule(source, **arguments)
    assert data.source is source
    assert {name: getattr(data, name) for name in arguments} == arguments


def test_the_seed_decides_the_batches() -> None:
    def first(seed: int) -> torch.Tensor:
        data = ImageDataModule(SyntheticImages(32, 16), batch_size=8, flip=True, seed=seed)
        return next(iter(data.train_dataloader())).images

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))
