"""Tokenizers of LlamaGen: VQ-16 and VQ-8."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.interop.vqgan_layout import Layout, measure, move_half
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Tokenizer

SOURCE = "LlamaGen"
LAYOUT = Layout(
    encoder_block="encoder.conv_blocks.{level}.res.{block}",
    encoder_attention="encoder.conv_blocks.{level}.attn.{block}",
    encoder_down="encoder.conv_blocks.{level}.downsample",
    decoder_block="decoder.conv_blocks.{step}.res.{block}",
    decoder_attention="decoder.conv_blocks.{step}.attn.{block}",
    decoder_up="decoder.conv_blocks.{step}.upsample",
    middle=("mid.0", "mid.1", "mid.2"),
)
NOT_THE_TOKENIZER = ("quantize.codebook_used",)
"""A history of the codes that were used in training."""


def from_llamagen(weights: Mapping[str, Tensor]) -> Tokenizer:
    """A tokenizer of LlamaGen (2406.06525): 16,384 l2-normalised codes of width 8, f = 16 or 8.

    All sizes are read from the shapes; that codes are l2-normalised is not in them and taken as given.

    Args:
        weights: its state dict.

    Returns:
        The tokenizer, for images in [-1, 1].

    Raises:
        ValueError: if a name is missing or left over; all are named.
    """
    encoder, decoder = (measure(weights, LAYOUT, half, SOURCE) for half in ("encoder", "decoder"))
    transfer = Transfer(weights, SOURCE)
    move_half(transfer, LAYOUT, "encoder", encoder)
    move_half(transfer, LAYOUT, "decoder", decoder)
    codebook = transfer.take("quantize.embedding.weight")
    transfer.put("quantizer.codebook", codebook)
    size, dim = (1, 1) if codebook is None else codebook.shape
    quantizer = VectorQuantizer(size, dim, l2_normalise=True, kmeans_start=False, restart_below=0.0)
    transfer.copy("to_quantizer", "quant_conv")
    transfer.copy("from_quantizer", "post_quant_conv")
    return transfer.into(Tokenizer(encoder.encoder(), decoder.decoder(), quantizer), ignored=NOT_THE_TOKENIZER)
