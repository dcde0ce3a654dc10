"""Pictures reach each kind of logger in its own way."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytorch_lightning as pl
from PIL import Image

from vqgen.training.image_log import log_picture

PICTURE = Image.new("RGB", (6, 4), "white")


def trainer(*loggers):
    fake = MagicMock(spec=pl.Trainer)
    fake.loggers, fake.global_step = list(loggers), 7
    return fake


def recorder(calls):
    return lambda *args, **kwargs: calls.append((args, kwargs))


def test_weights_and_biases_gets_an_image():
    calls = []
    log_picture(trainer(SimpleNamespace(log_image=recorder(calls), experiment=None)), "validation/x", PICTURE)
    assert calls == [((), {"key": "validation/x", "images": [PICTURE], "step": 7})]


def test_tensorboard_gets_channels_first():
    calls = []
    log_picture(trainer(SimpleNamespace(experiment=SimpleNamespace(add_image=recorder(calls)))), "x", PICTURE)
    (name, tensor), options = calls[0]
    assert (name, tuple(tensor.shape), options) == ("x", (3, 4, 6), {"global_step": 7})


def test_mlflow_gets_its_run():
    calls = []
    logger = SimpleNamespace(experiment=SimpleNamespace(log_image=recorder(calls)), run_id="r")
    log_picture(trainer(logger), "validation/x", PICTURE)
    assert calls == [(("r", PICTURE), {"key": "validation-x", "step": 7})]


def test_comet_gets_a_name():
    calls = []
    log_picture(trainer(SimpleNamespace(experiment=SimpleNamespace(log_image=recorder(calls)))), "x", PICTURE)
    assert calls == [((PICTURE,), {"name": "x", "step": 7})]


def test_any_other_logger_gets_a_file(tmp_path):
    log_picture(trainer(SimpleNamespace(experiment=object(), log_dir=str(tmp_path))), "validation/x", PICTURE)
    with Image.open(tmp_path / "images" / "validation-x-0000007.png") as written:
        assert written.size == (6, 4)


def test_a_logger_without_a_folder_gets_nothing():
    log_picture(trainer(SimpleNamespace(experiment=object(), log_dir=None)), "x", PICTURE)
