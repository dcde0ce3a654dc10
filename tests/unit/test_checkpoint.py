"""Portable folders: round trips, refusals, and nothing half written."""

import json

import pytest
import torch
from torch import nn

from vqgen.attention import BidirectionalAttention
from vqgen.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Portable, build, config_of, fingerprint, read_config
from vqgen.losses import ReconstructionLoss
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


def make_tokenizer(codebook_size: int = 16) -> Tokenizer:
    torch.manual_seed(0)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 4, "blocks": 1}
    return Tokenizer(Encoder(**size), Decoder(**size), VectorQuantizer(codebook_size, 3))


class Foreign(Portable):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(width, width)


class Forgetful(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()


def test_round_trip_restores_weights_config_and_metadata(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path / "deep" / "model", image_size=[16, 16])
    loaded = Tokenizer.from_pretrained(tmp_path / "deep" / "model")
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(loaded.encode(images), tokenizer.eval().encode(images))
    assert config_of(loaded) == config_of(tokenizer)
    assert loaded.metadata == {"image_size": [16, 16]}
    assert not loaded.training
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["model"]


def test_saving_again_replaces_the_older_model(tmp_path):
    make_tokenizer(16).save_pretrained(tmp_path / "model")
    make_tokenizer(32).save_pretrained(tmp_path / "model")
    assert Tokenizer.from_pretrained(tmp_path / "model").codebook_size == 32
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_save_leaves_the_older_model(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(TypeError):
        tokenizer.save_pretrained(tmp_path / "model", not_json=object())
    tokenizer.metadata = {}
    assert Tokenizer.from_pretrained(tmp_path / "model").fingerprint() == tokenizer.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_over_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="holds other files"):
        make_tokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_fingerprint_tells_weights_and_configs_apart():
    first, same = make_tokenizer(), make_tokenizer()
    assert fingerprint(first) == fingerprint(same)
    with torch.no_grad():
        next(same.parameters())[0] += 1e-3
    assert fingerprint(first) != fingerprint(same)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(tmp_path, name):
    make_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Tokenizer.from_pretrained(tmp_path / "model")


def test_truncated_weights_are_refused(tmp_path):
    path = make_tokenizer().save_pretrained(tmp_path / "model") / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        Tokenizer.from_pretrained(tmp_path / "model")


def test_a_pickle_in_place_of_weights_is_refused(tmp_path):
    folder = make_tokenizer().save_pretrained(tmp_path / "model")
    torch.save({"a": 1}, folder / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        Tokenizer.from_pretrained(folder)


def test_damaged_json_is_refused(tmp_path):
    path = make_tokenizer().save_pretrained(tmp_path / "model") / CONFIG_FILE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match="not valid JSON"):
        read_config(tmp_path / "model")


def test_a_foreign_config_is_refused(tmp_path):
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="written by another program"):
        read_config(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path):
    small, large = (
        make_tokenizer(16).save_pretrained(tmp_path / "s"),
        make_tokenizer(32).save_pretrained(tmp_path / "l"),
    )
    (large / WEIGHTS_FILE).replace(small / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="do not fit"):
        Tokenizer.from_pretrained(small)


def test_exchanged_weights_of_the_same_size_are_refused(tmp_path):
    first = make_tokenizer().save_pretrained(tmp_path / "a")
    other = make_tokenizer()
    nn.init.normal_(other.quantizer.codebook)
    (other.save_pretrained(tmp_path / "b") / WEIGHTS_FILE).replace(first / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="changed after it was written"):
        Tokenizer.from_pretrained(first)


def test_another_kind_of_model_is_refused(tmp_path):
    Foreign(2).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="expected a Tokenizer"):
        Tokenizer.from_pretrained(tmp_path / "model", classes=[Foreign])


def test_classes_from_elsewhere_need_to_be_passed(tmp_path):
    Foreign(2).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"not part of vqgen; pass that class.*classes=\[Foreign\]"):
        Foreign.from_pretrained(tmp_path / "model")
    assert Foreign.from_pretrained(tmp_path / "model", classes=[Foreign]).width == 2


@pytest.mark.parametrize(
    "path", ["os.system", "vqgen.checkpoint.json", "vqgen.nothing.Here", "vqgen.tokenizer.grid_size"]
)
def test_only_model_classes_are_built(path):
    with pytest.raises(ValueError, match=r"not part of vqgen|has no|not a model class"):
        build({"class_path": path, "init_args": {}})


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match="does not accept the recorded arguments"):
        build({"class_path": "vqgen.losses.ReconstructionLoss", "init_args": {"l3": 1}})


def test_build_is_the_inverse_of_config_of():
    config = config_of(make_tokenizer())
    assert config_of(build(config)) == config
    assert config["init_args"]["encoder"]["class_path"] == "vqgen.tokenizer.Encoder"
    assert json.loads(json.dumps(config)) == config


def test_an_argument_that_is_not_kept_is_named():
    with pytest.raises(TypeError, match="Forgetful does not keep its constructor argument 'width'"):
        config_of(Forgetful(3))


def test_a_value_that_is_no_json_is_named():
    loss = ReconstructionLoss()
    loss.l1 = torch.ones(1)
    with pytest.raises(TypeError, match=r"ReconstructionLoss\.l1 is a Tensor"):
        config_of(loss)


class Grown(nn.Module):
    def __init__(self, width: int, later: int | None = None) -> None:
        super().__init__()
        self.width = width
        self.later = later


def test_an_argument_that_is_left_at_none_is_not_described():
    assert config_of(Grown(2))["init_args"] == {"width": 2}
    assert config_of(Grown(2, later=3))["init_args"] == {"width": 2, "later": 3}
    assert fingerprint(Grown(2)) != fingerprint(Grown(2, later=3))


def test_a_module_without_a_constructor_of_its_own_is_described_by_its_class():
    described = {"class_path": "vqgen.attention.BidirectionalAttention", "init_args": {}}
    assert config_of(BidirectionalAttention()) == described
    assert isinstance(build(described), BidirectionalAttention)
