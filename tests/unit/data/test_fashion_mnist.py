"""Fashion-MNIST for real, where Debian's package dataset-fashion-mnist is installed."""

import gzip
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from vqgen.data import TorchvisionImages

SCRIPT = Path(__file__).parents[3] / "scripts" / "prepare_fashion_mnist.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("prepare_fashion_mnist", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not script.INSTALLED.is_dir():
        pytest.skip(f"no Fashion-MNIST in {script.INSTALLED}: apt-get install dataset-fashion-mnist")
    folder = tmp_path_factory.mktemp("data")
    script.unpack(script.INSTALLED, folder)
    return folder


def test_fashion_mnist_is_read_as_torchvision_reads_it(root: Path) -> None:
    source = TorchvisionImages("FashionMNIST", root, 32)
    validation = source.split("validation")
    assert source.class_names[0] == "T-shirt/top"
    assert len(source.class_names) == 10
    assert len(validation) == 10_000
    batch = validation.batch(range(64))
    assert batch.images.shape == (64, 3, 32, 32)
    assert (batch.images[:, 0] == batch.images[:, 2]).all()
    assert validation.labels.bincount().tolist() == [1000] * 10
    assert 0.25 < (validation.read(range(2000)).float().mean() / 255) < 0.32  # the data set's mean is 0.286


def test_fashion_mnist_can_stay_grey_and_as_small_as_it_is(root: Path) -> None:
    image, label = TorchvisionImages("FashionMNIST", root, 28, channels=1).split("train")[0]
    assert image.shape == (1, 28, 28)
    assert label == 9


def test_unpacking_again_leaves_the_files_and_a_missing_one_is_named(script: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "packed"
    source.mkdir()
    for name in script.FILES:
        with gzip.open(source / f"{name}.gz", "wb") as file:
            file.write(name.encode())
    raw = script.unpack(source, tmp_path / "root")
    assert sorted(path.name for path in raw.iterdir()) == sorted(script.FILES)
    (raw / script.FILES[0]).write_text("kept")
    assert (script.unpack(source, tmp_path / "root") / script.FILES[0]).read_text() == "kept"
    (source / f"{script.FILES[1]}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks train-labels-idx1-ubyte.gz; type: apt-get install dataset-f"):
        script.unpack(source, tmp_path / "root")
