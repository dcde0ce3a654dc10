"""Weights out of files: what is read, and that nothing else is run."""

import argparse
import os

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import save_file

from vqgen.interop import read_weights

WEIGHTS = {"a.weight": torch.arange(3.0), "b.bias": torch.ones(2)}


def same(found) -> bool:
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


class Dangerous:
    """Makes a folder when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_safetensors_and_plain_state_dicts(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    torch.save(WEIGHTS, tmp_path / "a.pt")
    assert same(read_weights(tmp_path / "a.safetensors"))
    assert same(read_weights(str(tmp_path / "a.pt")))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "ema"])
def test_training_checkpoints(tmp_path, wrapper):
    torch.save({wrapper: WEIGHTS, "epoch": 3, "optimizer": {"state": {}}}, tmp_path / "last.ckpt")
    assert same(read_weights(tmp_path / "last.ckpt"))


def test_the_averaged_weights_come_first(tmp_path):
    torch.save({"model": {"a.weight": torch.zeros(3)}, "ema": WEIGHTS}, tmp_path / "last.ckpt")
    assert same(read_weights(tmp_path / "last.ckpt"))


def test_classes_that_published_checkpoints_name_do_no_harm(tmp_path):
    extra = {"callbacks": {ModelCheckpoint: {"best": 1.0}}, "args": argparse.Namespace(vq_model="VQ-16")}
    torch.save({"state_dict": WEIGHTS, **extra}, tmp_path / "last.ckpt")
    assert same(read_weights(tmp_path / "last.ckpt"))


def test_a_checkpoint_that_would_run_something_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": WEIGHTS, "more": Dangerous(tmp_path / "made")}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match="holds more than weights") as error:
        read_weights(tmp_path / "bad.ckpt")
    assert "torch.save(model.state_dict(), 'weights.pt')" in str(error.value)
    assert not (tmp_path / "made").exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "encoder.pkl")
    with pytest.raises(ValueError, match="holds more than weights"):
        read_weights(tmp_path / "encoder.pkl")


def test_a_damaged_file_is_refused(tmp_path):
    torch.save(WEIGHTS, tmp_path / "a.pt")
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match=rf"{name} (is not a whole|holds more)"):
            read_weights(path)
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="not a whole PyTorch checkpoint"):
        read_weights(tmp_path / "empty.pt")


def test_a_file_without_weights_is_refused(tmp_path):
    for found in ({"epoch": 3}, {}, [1.0], {"state_dict": {"a": 1}}):
        torch.save(found, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="expected a state dict"):
            read_weights(tmp_path / "a.pt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found no file .*nothing\.pt"):
        read_weights(tmp_path / "nothing.pt")
