"""The tokenizer of 1d-tokenizer's MaskGIT: a VQGAN without attention, in the form of ours by linear algebra."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.interop.vqgan_layout import Half, Layout, measure
from vqgen.quantizers import VectorQuantizer
from vqgen.tokenizer import Tokenizer, UnitRangeEncoder

SOURCE = "1d-tokenizer's MaskGIT-VQGAN"
LAYOUT = Layout(
    encoder_block="encoder.down.{level}.block.{block}",
    encoder_attention="encoder.down.{level}.attention.{block}",  # it has none
    encoder_down="",  # without weights
    decoder_block="decoder.up.{level}.block.{block}",
    decoder_attention="decoder.up.{level}.attention.{block}",
    decoder_up="decoder.up.{level}.upsample_conv",
    middle=("mid.0", "attention", "mid.1"),
)


def from_maskgit(weights: Mapping[str, Tensor]) -> Tokenizer:
    """The VQGAN of MaskGIT (2202.04200) as 1d-tokenizer and open-muse publish it: f = 16, 1,024 codes of width 256.

    It differs from ours in ways that our layers can express exactly, so that no layer of its own is needed:

    - convolutions without bias get a bias of 0, 1x1 convolutions become the centre of 3x3 ones;
    - halving by average pooling becomes the strided convolution whose kernel is that average;
    - where a block widens, it adds to its result h not the input but a 1x1 convolution N of h itself: `h + N h`,
      which is our block with its last convolution multiplied by 1 + N and a shortcut of 0;
    - it has nothing between encoder and quantizer: our 1x1 convolutions there are the identity;
    - its pixels are in [0, 1]: `UnitRangeEncoder` in front, and at the end a last convolution that is twice as large.

    Args:
        weights: its state dict.

    Returns:
        The tokenizer, for images in [-1, 1].

    Raises:
        ValueError: if a name is missing or left over; all are named.
    """
    encoder, decoder = (measure(weights, LAYOUT, half, SOURCE) for half in ("encoder", "decoder"))
    transfer = Transfer(weights, SOURCE)
    _move_encoder(transfer, encoder)
    _move_decoder(transfer, decoder)
    codebook = transfer.take("quantize.embedding.weight")
    transfer.put("quantizer.codebook", codebook)
    size, dim = (1, encoder.latent_channels) if codebook is None else codebook.shape
    for name in ("to_quantizer", "from_quantizer"):
        transfer.put(f"{name}.weight", torch.eye(dim)[:, :, None, None])
        transfer.put(f"{name}.bias", torch.zeros(dim))
    quantizer = VectorQuantizer(size, dim, kmeans_start=False, restart_below=0.0)
    return transfer.into(Tokenizer(UnitRangeEncoder(encoder.encoder()), decoder.decoder(), quantizer))


def _move_encoder(transfer: Transfer, sizes: Half) -> None:
    ours, width = "encoder.encoder", sizes.channels
    _without_bias(transfer, f"{ours}.conv_in", transfer.take("encoder.conv_in.weight"))
    for level, multiplier in enumerate(sizes.multipliers):
        out = sizes.channels * multiplier
        for index in range(sizes.blocks):
            theirs = LAYOUT.encoder_block.format(level=level, block=index)
            _move_block(transfer, f"{ours}.residual.{level}.{index}", theirs, width, out)
            width = out
        if level < len(sizes.multipliers) - 1:
            _without_bias(transfer, f"{ours}.down.{level}.conv", _average_of_two_by_two(out))
    _move_middle(transfer, ours, "encoder", width)
    weight, bias = transfer.take("encoder.conv_out.weight"), transfer.take("encoder.conv_out.bias")
    transfer.put(f"{ours}.conv_out.weight", None if weight is None else torch.nn.functional.pad(weight, (1, 1, 1, 1)))
    transfer.put(f"{ours}.conv_out.bias", bias)


def _move_decoder(transfer: Transfer, sizes: Half) -> None:
    levels = len(sizes.multipliers)
    width = sizes.channels * sizes.multipliers[-1]
    transfer.copy("decoder.conv_in", "decoder.conv_in")
    _move_middle(transfer, "decoder", "decoder", width)
    for step, level in enumerate(reversed(range(levels))):
        out = sizes.channels * sizes.multipliers[level]
        for index in range(sizes.blocks):
            theirs = LAYOUT.decoder_block.format(level=level, block=index)
            _move_block(transfer, f"decoder.residual.{step}.{index}", theirs, width, out)
            width = out
        if level:
            transfer.copy(f"decoder.up.{step}.conv", LAYOUT.decoder_up.format(level=level))
    transfer.copy("decoder.norm_out", "decoder.norm_out")
    weight, bias = transfer.take("decoder.conv_out.weight"), transfer.take("decoder.conv_out.bias")
    transfer.put("decoder.conv_out.weight", None if weight is None else 2 * weight)
    transfer.put("decoder.conv_out.bias", None if bias is None else 2 * bias - 1)


def _move_middle(transfer: Transfer, ours: str, half: str, width: int) -> None:
    for block, theirs in (("block1", LAYOUT.middle[0]), ("block2", LAYOUT.middle[2])):
        _move_block(transfer, f"{ours}.middle.{block}", f"{half}.{theirs}", width, width)
    if half == "encoder":
        transfer.copy(f"{ours}.norm_out", "encoder.norm_out")


def _move_block(transfer: Transfer, ours: str, theirs: str, width: int, out: int) -> None:
    transfer.copy(f"{ours}.norm1", f"{theirs}.norm1")
    transfer.copy(f"{ours}.norm2", f"{theirs}.norm2")
    _without_bias(transfer, f"{ours}.conv1", transfer.take(f"{theirs}.conv1.weight"))
    last = transfer.take(f"{theirs}.conv2.weight")
    if width != out:
        on_result = transfer.take(f"{theirs}.nin_shortcut.weight")
        if last is not None and on_result is not None:
            factor = torch.eye(out, dtype=torch.float64) + on_result[:, :, 0, 0].double()
            last = torch.einsum("om,miyx->oiyx", factor, last.double()).float()
        _without_bias(transfer, f"{ours}.shortcut", torch.zeros(out, width, 1, 1))
    _without_bias(transfer, f"{ours}.conv2", last)


def _without_bias(transfer: Transfer, ours: str, weight: Tensor | None) -> None:
    transfer.put(f"{ours}.weight", weight)
    transfer.put(f"{ours}.bias", None if weight is None else torch.zeros(len(weight)))


def _average_of_two_by_two(width: int) -> Tensor:
    """The kernel of a convolution with stride 2, padded right and below, that averages 2 x 2 places of each channel."""
    kernel = torch.zeros(width, width, 3, 3)
    kernel[:, :, :2, :2] = torch.eye(width)[:, :, None, None] / 4
    return kernel
