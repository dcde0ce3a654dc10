"""Tokenizers of taming-transformers: VQGAN, and VQGAN with the Gumbel quantizer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.interop.vqgan_layout import Layout, measure, move_half
from vqgen.quantizers import GumbelQuantizer, VectorQuantizer
from vqgen.tokenizer import Tokenizer

SOURCE = "taming-transformers"
LAYOUT = Layout(
    encoder_block="encoder.down.{level}.block.{block}",
    encoder_attention="encoder.down.{level}.attn.{block}",
    encoder_down="encoder.down.{level}.downsample",
    decoder_block="decoder.up.{level}.block.{block}",
    decoder_attention="decoder.up.{level}.attn.{block}",
    decoder_up="decoder.up.{level}.upsample",
    middle=("mid.block_1", "mid.attn_1", "mid.block_2"),
)
NOT_THE_TOKENIZER = ("loss.",)
"""The discriminator and the perceptual network, which its checkpoints hold as well."""
KL_WEIGHT = 1e-8
"""Of its published Gumbel model."""


def from_taming(weights: Mapping[str, Tensor]) -> Tokenizer:
    """A tokenizer of taming-transformers (2012.09841): f = 16 with 1,024 or 16,384 codes, Gumbel f = 8, and the like.

    All sizes are read from the shapes. Its commitment loss stands on the codebook term (a fault it keeps for its
    checkpoints' sake), so the quantizer gets `codebook_weight=0.25, commitment=1.0`. With the Gumbel quantizer, pairs
    of linear maps that follow each other become one: `proj` after `quant_conv`, and `post_quant_conv` after `embed`.

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
    if "quantize.embed.weight" in weights:
        quantizer: GumbelQuantizer | VectorQuantizer = GumbelQuantizer(
            weights["quantize.embed.weight"].shape[0], kl_weight=KL_WEIGHT
        )
        _move_gumbel(transfer)
    else:
        codebook = transfer.take("quantize.embedding.weight")
        transfer.put("quantizer.codebook", codebook)
        size, dim = (1, 1) if codebook is None else codebook.shape
        quantizer = VectorQuantizer(
            size, dim, codebook_weight=0.25, commitment=1.0, kmeans_start=False, restart_below=0.0
        )
        transfer.copy("to_quantizer", "quant_conv")
        transfer.copy("from_quantizer", "post_quant_conv")
    return transfer.into(Tokenizer(encoder.encoder(), decoder.decoder(), quantizer), ignored=NOT_THE_TOKENIZER)


def _move_gumbel(transfer: Transfer) -> None:
    before, before_bias = transfer.take("quant_conv.weight"), transfer.take("quant_conv.bias")
    logits, logits_bias = transfer.take("quantize.proj.weight"), transfer.take("quantize.proj.bias")
    codebook = transfer.take("quantize.embed.weight")
    after, after_bias = transfer.take("post_quant_conv.weight"), transfer.take("post_quant_conv.bias")
    if before is not None and before_bias is not None and logits is not None and logits_bias is not None:
        to_logits = logits[:, :, 0, 0].double()
        transfer.put("to_quantizer.weight", (to_logits @ before[:, :, 0, 0].double()).float()[:, :, None, None])
        transfer.put("to_quantizer.bias", (to_logits @ before_bias.double() + logits_bias.double()).float())
    if codebook is not None and after is not None:
        embedded = after[:, :, 0, 0].double() @ codebook.double().T  # (latent channels, k)
        transfer.put("from_quantizer.weight", embedded.float()[:, :, None, None])
    transfer.put("from_quantizer.bias", after_bias)
