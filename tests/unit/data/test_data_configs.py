"""Sources and data modules are named in configs by class path, with plain values."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from jsonargparse import ArgumentParser

from vqgen.data import Augmented, CodeGrids, ImageSource, ResumableLoader, SyntheticImages
from vqgen.data.code_data import CodeDataModule
from vqgen.data.image_data import ImageDataModule


def parse(config: dict[str, Any]) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(pl.LightningDataModule, "data")
    return parser.instantiate(parser.parse_object({"data": config})).data


def test_image_data_with_a_source_and_transforms() -> None:
    source = {
        "class_path": "vqgen.data.OpenMoji",
        "init_args": {"size": [32, 48], "labels": "none", "cache": "somewhere"},
    }
    jitter = {"class_path": "torchvision.transforms.v2.ColorJitter", "init_args": {"brightness": 0.1}}
    data = parse(
        {
            "class_path": "vqgen.data.image_data.ImageDataModule",
            "init_args": {"source": source, "flip": True, "transforms": [jitter]},
        }
    )
    assert isinstance(data, ImageDataModule)
    assert (data.image_size, data.num_classes, data.flip) == ((32, 48), 0, True)
    assert type(data.transforms[0]).__name__ == "ColorJitter"


def test_code_data_with_a_source() -> None:
    source = {"class_path": "vqgen.data.TorchvisionImages", "init_args": {"name": "CIFAR10", "root": "d", "size": 32}}
    data = parse(
        {
            "class_path": "vqgen.data.code_data.CodeDataModule",
            "init_args": {"tokenizer": "folder", "source": source, "views": 2},
        }
    )
    assert isinstance(data, CodeDataModule)
    assert (data.tokenizer, data.views, data.image_size) == ("folder", 2, (32, 32))


@pytest.mark.parametrize("name", ["ImageFolder", "OpenMoji", "SyntheticImages", "TorchvisionImages"])
def test_every_public_source_is_one(name: str) -> None:
    import vqgen.data

    assert issubclass(getattr(vqgen.data, name), ImageSource)
    assert name in vqgen.data.__all__
    assert CodeGrids.__name__ in vqgen.data.__all__


def test_what_workers_need_can_be_sent_to_them(tmp_path: Path) -> None:
    augmented = Augmented(SyntheticImages(4, 8).split("train"), flip=True)
    loader = ResumableLoader(augmented.batch, items=4, batch_size=2)
    sent = pickle.loads(pickle.dumps(loader._loader.dataset))
    assert sent[[0, 7]].images.equal(augmented.batch([0, 7]).images)
