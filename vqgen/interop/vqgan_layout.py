"""What the VQGANs of several projects have in common: the same network under other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from vqgen.interop.transfer import Transfer
from vqgen.tokenizer import Decoder, Encoder


@dataclass(frozen=True)
class Layout:
    """How a project names the parts of a VQGAN.

    In the names of parts, `{level}` counts from the highest resolution, `{step}` from the first that runs, and
    `{block}` within a level.

    Attributes:
        encoder_block, encoder_attention, encoder_down: parts of an encoder's level.
        decoder_block, decoder_attention, decoder_up: parts of a decoder's level.
        middle: first block, attention and second block in the middle, after `encoder.` or `decoder.`.
        norm_out: the last norm, after `encoder.` or `decoder.`.
        shortcut: convolution on the shortcut of a block.
        attention: norm, query, key, value and output of an attention.
    """

    encoder_block: str
    encoder_attention: str
    encoder_down: str
    decoder_block: str
    decoder_attention: str
    decoder_up: str
    middle: tuple[str, str, str]
    norm_out: str = "norm_out"
    shortcut: str = "nin_shortcut"
    attention: tuple[str, str, str, str, str] = ("norm", "q", "k", "v", "proj_out")


@dataclass(frozen=True)
class Half:
    """Sizes of an encoder or decoder, read from the shapes of its weights.

    Attributes:
        pixels: channels of the images.
        channels: base width.
        multipliers: of each level, highest resolution first.
        blocks: residual blocks a level.
        attention_at: downsampling factors with attention.
        middle_attention: whether there is attention in the middle.
        latent_channels: width of the latents.
    """

    pixels: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention_at: tuple[int, ...] = field(default=())
    middle_attention: bool = True
    latent_channels: int = 256

    def encoder(self) -> Encoder:
        """An encoder of these sizes."""
        return Encoder(
            self.pixels,
            self.channels,
            self.multipliers,
            self.blocks,
            self.attention_at,
            self.latent_channels,
            middle_attention=self.middle_attention,
        )

    def decoder(self) -> Decoder:
        """A decoder of these sizes; it has one block a level more than it is told."""
        return Decoder(
            self.pixels,
            self.channels,
            self.multipliers,
            self.blocks - 1,
            self.attention_at,
            self.latent_channels,
            middle_attention=self.middle_attention,
        )


def measure(weights: Mapping[str, Tensor], layout: Layout, half: str, source: str) -> Half:
    """Read the sizes of one half of a VQGAN.

    Args:
        weights: the other project's state dict.
        layout: its names.
        half: `encoder` or `decoder`.
        source: the project, for messages.

    Returns:
        The sizes.

    Raises:
        ValueError: if a weight that tells a size is not there, or the widths are not multiples of the base width.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in weights:
            raise ValueError(
                f"the checkpoint is not one of {source} as it is published; 1 missing in the checkpoint: {name}. "
                "Is it of another project, or of another version?"
            )
        return tuple(weights[name].shape)

    def there(part: str) -> bool:
        return any(name.startswith(f"{part}.") for name in weights)

    encodes = half == "encoder"
    block = layout.encoder_block if encodes else layout.decoder_block
    attention = layout.encoder_attention if encodes else layout.decoder_attention
    levels = 0
    while there(block.format(level=levels, step=levels, block=0)):
        levels += 1
    if not levels:
        shape(f"{block.format(level=0, step=0, block=0)}.conv1.weight")
    places = [(level, level if encodes else levels - 1 - level) for level in range(levels)]
    widths = [shape(f"{block.format(level=at, step=step, block=0)}.conv1.weight")[0] for at, step in places]
    blocks = 0
    while there(block.format(level=0, step=places[0][1], block=blocks)):
        blocks += 1
    first, last = shape(f"{half}.conv_in.weight"), shape(f"{half}.conv_out.weight")
    base = first[0] if encodes else widths[0]
    if any(width % base for width in widths):
        raise ValueError(
            f"expected widths that are multiples of the first, got {widths}; vqgen's {half} counts them in those"
        )
    return Half(
        pixels=first[1] if encodes else last[0],
        channels=base,
        multipliers=tuple(width // base for width in widths),
        blocks=blocks,
        attention_at=tuple(2**at for at, step in places if there(attention.format(level=at, step=step, block=0))),
        middle_attention=there(f"{half}.{layout.middle[1]}"),
        latent_channels=last[0] if encodes else first[1],
    )


def move_half(transfer: Transfer, layout: Layout, half: str, sizes: Half) -> None:
    """Copy all of an encoder or decoder whose layers are the same as ours.

    Args:
        transfer: takes and puts.
        layout: the other project's names.
        half: `encoder` or `decoder`.
        sizes: what `measure` read.
    """
    encodes = half == "encoder"
    levels = len(sizes.multipliers)
    names = (
        (layout.encoder_block, layout.encoder_attention, layout.encoder_down, "down")
        if encodes
        else (layout.decoder_block, layout.decoder_attention, layout.decoder_up, "up")
    )
    block, attention, resize, ours = names
    order = list(range(levels)) if encodes else list(reversed(range(levels)))
    width = sizes.channels if encodes else sizes.channels * sizes.multipliers[-1]
    transfer.copy(f"{half}.conv_in", f"{half}.conv_in")
    for step, level in enumerate(order):
        out = sizes.channels * sizes.multipliers[level]
        for index in range(sizes.blocks):
            place = {"level": level, "step": step, "block": index}
            move_block(transfer, layout, f"{half}.residual.{step}.{index}", block.format(**place), width != out)
            if 2**level in sizes.attention_at:
                move_attention(transfer, layout, f"{half}.attention.{step}.{index}", attention.format(**place))
            width = out
        if step < levels - 1:
            transfer.copy(f"{half}.{ours}.{step}.conv", f"{resize.format(level=level, step=step)}.conv")
    first, attend, second = (f"{half}.{name}" for name in layout.middle)
    move_block(transfer, layout, f"{half}.middle.block1", first, widens=False)
    if sizes.middle_attention:
        move_attention(transfer, layout, f"{half}.middle.attention", attend)
    move_block(transfer, layout, f"{half}.middle.block2", second, widens=False)
    transfer.copy(f"{half}.norm_out", f"{half}.{layout.norm_out}")
    transfer.copy(f"{half}.conv_out", f"{half}.conv_out")


def move_block(transfer: Transfer, layout: Layout, ours: str, theirs: str, widens: bool) -> None:
    """Copy a residual block."""
    for layer in ("norm1", "conv1", "norm2", "conv2"):
        transfer.copy(f"{ours}.{layer}", f"{theirs}.{layer}")
    if widens:
        transfer.copy(f"{ours}.shortcut", f"{theirs}.{layout.shortcut}")


def move_attention(transfer: Transfer, layout: Layout, ours: str, theirs: str) -> None:
    """Copy an attention; linear layers become 1x1 convolutions."""
    for mine, other in zip(("norm", "query", "key", "value", "out"), layout.attention, strict=True):
        transfer.copy(f"{ours}.{mine}", f"{theirs}.{other}")
        weight = transfer.ours.get(f"{ours}.{mine}.weight")
        if weight is not None and weight.ndim == 2:
            transfer.put(f"{ours}.{mine}.weight", weight[:, :, None, None])
