"""The account of names: nothing is missing, left over or of another shape without being named."""

import pytest
import torch

from vqgen.interop import Transfer
from vqgen.quantizers import EMAVectorQuantizer, VectorQuantizer
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


def make_tokenizer(quantizer=None) -> Tokenizer:
    size = {"channels": 8, "multipliers": (1,), "latent_channels": 4, "blocks": 1, "attention_at": ()}
    return Tokenizer(Encoder(**size), Decoder(**size), quantizer or VectorQuantizer(8, 4, kmeans_start=False))


def renamed(tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    return {f"theirs.{name}": value for name, value in tokenizer.state_dict().items()}


def transfer_all(weights, names) -> Transfer:
    transfer = Transfer(weights, "a test")
    for name in names:
        transfer.put(name, transfer.take(f"theirs.{name}"))
    return transfer


def parameters(tokenizer: Tokenizer) -> list[str]:
    return [name for name, _ in tokenizer.named_parameters()]


def test_everything_arrives_and_what_is_counted_stays_fresh():
    given, into = make_tokenizer(), make_tokenizer()
    into.quantizer.usage.fill_(0.5)
    weights = {name: value for name, value in renamed(given).items() if "usage" not in name and "started" not in name}
    found = transfer_all(weights, parameters(given)).into(into)
    assert all(torch.equal(found.state_dict()[name], given.state_dict()[name]) for name in parameters(given))
    assert (found.quantizer.usage == 0.5).all()
    assert not found.training


def test_half_precision_arrives_in_fp32():
    transfer = Transfer({"a.weight": torch.ones(2, dtype=torch.float16)}, "a test")
    transfer.copy("b", "a", leaves=("weight",))
    assert transfer.ours["b.weight"].dtype == torch.float32


def test_each_missing_name_is_named():
    weights = renamed(make_tokenizer())
    del weights["theirs.encoder.conv_in.bias"], weights["theirs.decoder.norm_out.weight"]
    transfer = transfer_all(weights, parameters(make_tokenizer()))
    with pytest.raises(ValueError, match="2 missing in the checkpoint") as error:
        transfer.into(make_tokenizer(), ignored=("theirs.quantizer",))
    assert "theirs.encoder.conv_in.bias" in str(error.value)
    assert "theirs.decoder.norm_out.weight" in str(error.value)
    assert "not one of a test as it is published" in str(error.value)


def test_each_left_over_name_is_named_unless_ignored():
    weights = {**renamed(make_tokenizer()), "theirs.more": torch.ones(1), "loss.weight": torch.ones(1)}
    transfer = transfer_all(weights, parameters(make_tokenizer()))
    ignored = ("loss.", "theirs.quantizer.usage", "theirs.quantizer.started")
    with pytest.raises(ValueError, match=r"1 left over in the checkpoint: theirs\.more\."):
        transfer.into(make_tokenizer(), ignored=ignored)
    transfer.into(make_tokenizer(), ignored=(*ignored, "theirs.more"))


def test_shapes_that_differ_are_named():
    weights = renamed(make_tokenizer(VectorQuantizer(9, 4, kmeans_start=False)))
    transfer = transfer_all(weights, parameters(make_tokenizer()))
    with pytest.raises(ValueError, match=r"quantizer\.codebook has shape \(9, 4\), expected \(8, 4\)"):
        transfer.into(make_tokenizer(), ignored=("theirs.quantizer",))


def test_a_map_that_forgets_or_invents_a_name_is_refused():
    names = parameters(make_tokenizer())
    weights = {name: value for name, value in renamed(make_tokenizer()).items() if name[7:] in names}
    forgetful = transfer_all({k: v for k, v in weights.items() if "conv_in.bias" not in k}, names[:0])
    for name in names:
        if name != "encoder.conv_in.bias":
            forgetful.put(name, weights[f"theirs.{name}"])
    with pytest.raises(ValueError, match=r"1 not filled in the tokenizer: encoder\.conv_in\.bias"):
        forgetful.into(make_tokenizer(), ignored=("theirs",))
    inventive = transfer_all(weights, names)
    inventive.put("encoder.extra", torch.ones(1))
    with pytest.raises(ValueError, match=r"1 unknown to the tokenizer: encoder\.extra"):
        inventive.into(make_tokenizer())


def test_a_codebook_that_is_a_buffer_may_not_stay_fresh_by_accident():
    """An EMA quantizer keeps its codebook in a buffer; no map fills one, so that its parts all stay as made."""
    tokenizer = make_tokenizer(EMAVectorQuantizer(8, 4, kmeans_start=False))
    assert "quantizer.codebook" not in parameters(tokenizer)


def test_long_lists_are_cut():
    transfer = Transfer({f"x{index}": torch.ones(1) for index in range(50)}, "a test")
    with pytest.raises(ValueError, match=r"50 left over in the checkpoint: .* and 30 more"):
        transfer.into(make_tokenizer())
