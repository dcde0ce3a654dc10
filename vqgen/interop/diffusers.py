"""Tokenizers that diffusers calls `VQModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.interop.vqgan_layout import Layout, measure, move_half
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Tokenizer

SOURCE = "diffusers' VQModel"
LAYOUT = Layout(
    encoder_block="encoder.down_blocks.{level}.resnets.{block}",
    encoder_attention="encoder.down_blocks.{level}.attentions.{block}",
    encoder_down="encoder.down_blocks.{level}.downsamplers.0",
    decoder_block="decoder.up_blocks.{step}.resnets.{block}",
    decoder_attention="decoder.up_blocks.{step}.attentions.{block}",
    decoder_up="decoder.up_blocks.{step}.upsamplers.0",
    middle=("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"),
    norm_out="conv_norm_out",
    shortcut="conv_shortcut",
    attention=("group_norm", "to_q", "to_k", "to_v", "to_out.0"),
)
OURS = {"act_fn": "silu", "norm_num_groups": 32, "norm_type": "group"}
"""Settings that leave no trace in the weights, and their values in our layers."""


def from_diffusers(weights: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> Tokenizer:
    """A `VQModel` of diffusers.

    All sizes are read from the shapes. What leaves no trace there is read from its `config.json` where that is given,
    and taken as ours where it is not.

    Args:
        weights: its state dict.
        config: its `config.json`.

    Returns:
        The tokenizer, for images in [-1, 1].

    Raises:
        ValueError: if a name is missing or left over, with all named, or a setting is not ours.
    """
    for name, value in OURS.items():
        found = (config or {}).get(name, value)
        if found != value:
            raise ValueError(f"expected {SOURCE} with {name}={value!r}, as our layers have it, got {found!r}")
    encoder, decoder = (measure(weights, LAYOUT, half, SOURCE) for half in ("encoder", "decoder"))
    transfer = Transfer(weights, SOURCE)
    move_half(transfer, LAYOUT, "encoder", encoder)
    move_half(transfer, LAYOUT, "decoder", decoder)
    codebook = transfer.take("quantize.embedding.weight")
    transfer.put("quantizer.codebook", codebook)
    size, dim = (1, 1) if codebook is None else codebook.shape
    # Its loss is taming's, with the weights of the two terms exchanged.
    quantizer = VectorQuantizer(size, dim, codebook_weight=0.25, commitment=1.0, kmeans_start=False, restart_below=0.0)
    transfer.copy("to_quantizer", "quant_conv")
    transfer.copy("from_quantizer", "post_quant_conv")
    return transfer.into(Tokenizer(encoder.encoder(), decoder.decoder(), quantizer))
