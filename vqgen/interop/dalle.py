"""DALL-E's discrete VAE."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.quantizers import GumbelQuantizer
from vqgen.tokenizer import DVAEDecoder, DVAEEncoder, Tokenizer

SOURCE = "DALL-E's discrete VAE"
KL_WEIGHT = 6.6 / 192


def from_dalle(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> Tokenizer:
    """DALL-E's discrete VAE (2102.12092): f = 8, 8,192 codes, from the package `dall-e`'s `Encoder` and `Decoder`.

    What makes the logits at the end of its encoder, and what reads one-hot codes at the start of its decoder, are the
    two 1x1 convolutions around our quantizer. Its pixels are mapped from [-1, 1] as ours are.

    The published files hold pickled modules, not weights: write `model.state_dict()` of each where you trust them.

    Args:
        encoder: state dict of its encoder.
        decoder: state dict of its decoder.

    Returns:
        The tokenizer, for images in [-1, 1].

    Raises:
        ValueError: if a name is missing or left over; all are named.
    """
    transfer = Transfer(
        {
            **{f"encoder.{name}": tensor for name, tensor in encoder.items()},
            **{f"decoder.{name}": tensor for name, tensor in decoder.items()},
        },
        SOURCE,
    )
    encoder_in, decoder_in = transfer.take("encoder.blocks.input.w"), transfer.take("decoder.blocks.input.w")
    pixels = transfer.take("decoder.blocks.output.conv.w")
    if encoder_in is None or decoder_in is None or pixels is None:
        raise ValueError(
            f"the checkpoints are not those of {SOURCE} as it is published; missing: {', '.join(transfer.missing)}. "
            "Give the encoder's first, then the decoder's"
        )
    levels, blocks = _count(encoder, "blocks.group_{}.block_1"), _count(encoder, "blocks.group_1.block_{}")
    channels = len(encoder_in)
    for half in ("encoder", "decoder"):
        for level in range(levels):
            for block in range(blocks):
                ours, theirs = f"{half}.groups.{level}.{block}", f"{half}.blocks.group_{level + 1}.block_{block + 1}"
                for index in range(4):
                    _move(transfer, f"{ours}.convolutions.{index}", f"{theirs}.res_path.conv_{index + 1}")
                # Where the width stays, the shortcut has no weights.
                if f"{theirs}.id_path.w" in transfer.weights:
                    _move(transfer, f"{ours}.shortcut", f"{theirs}.id_path")
    _move(transfer, "encoder.conv_in", "encoder.blocks.input")
    _move(transfer, "to_quantizer", "encoder.blocks.output.conv")
    _move(transfer, "from_quantizer", "decoder.blocks.input")
    _move(transfer, "decoder.conv_out", "decoder.blocks.output.conv")
    tokenizer = Tokenizer(
        DVAEEncoder(encoder_in.shape[1], channels, levels, blocks),
        DVAEDecoder(pixels.shape[0] // 2, pixels.shape[1], levels, blocks, len(decoder_in)),
        GumbelQuantizer(decoder_in.shape[1], kl_weight=KL_WEIGHT, hard=False),
    )
    return transfer.into(tokenizer)


def _move(transfer: Transfer, ours: str, theirs: str) -> None:
    transfer.put(f"{ours}.weight", transfer.take(f"{theirs}.w"))
    transfer.put(f"{ours}.bias", transfer.take(f"{theirs}.b"))


def _count(weights: Mapping[str, Tensor], part: str) -> int:
    """How many parts there are, counted from 1; at least one, so that what is missing gets named."""
    number = 1
    while any(name.startswith(f"{part.format(number + 1)}.") for name in weights):
        number += 1
    return number
