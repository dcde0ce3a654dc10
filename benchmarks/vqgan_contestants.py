"""VQGAN of vqgen and of its peers, at one configuration and with shared weights where they can be: for tokenizer.py."""

import contextlib
import importlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vqgen.interop import from_taming


@dataclass(frozen=True)
class Size:
    """What all contestants share."""

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    side: int = 256
    codes: int = 16_384
    dim: int = 256

    @property
    def cells(self) -> int:
        return self.side // 2 ** (len(self.multipliers) - 1)


QUICK = Size(channels=32, multipliers=(1, 2), side=32, codes=64, dim=32)


@dataclass(frozen=True)
class Codec:
    """One contestant: images (b, 3, H, W) in [-1, 1] to codes (b, h, w), and back."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


class Taming(nn.Module):
    """The parts of taming-transformers' `VQModel`, which itself needs an old Lightning, under its names."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        layers = importlib.import_module("taming.modules.diffusionmodules.model")
        quantize = importlib.import_module("taming.modules.vqvae.quantize")
        shape: dict[str, Any] = {
            "ch": size.channels,
            "out_ch": 3,
            "ch_mult": size.multipliers,
            "num_res_blocks": 2,
            "attn_resolutions": [size.cells],
            "in_channels": 3,
            "resolution": size.side,
            "z_channels": size.dim,
            "double_z": False,
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its shapes
            self.encoder, self.decoder = layers.Encoder(**shape), layers.Decoder(**shape)
        self.quantize = quantize.VectorQuantizer2(size.codes, size.dim, beta=0.25, sane_index_shape=True)
        self.quant_conv = nn.Conv2d(size.dim, size.dim, 1)
        self.post_quant_conv = nn.Conv2d(size.dim, size.dim, 1)

    def encode(self, images: Tensor) -> Tensor:
        *_, (_, _, codes) = self.quantize(self.quant_conv(self.encoder(images)))
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        b, h, w = codes.shape
        latents = self.quantize.get_codebook_entry(codes.flatten(), (b, h, w, self.quantize.e_dim))
        return self.decoder(self.post_quant_conv(latents))


def weights(size: Size) -> dict[str, Tensor]:
    """Random weights in taming's names, with codes spread as the latents are: no code is everyone's nearest."""
    torch.manual_seed(0)
    model = Taming(size).eval()
    with torch.inference_mode():
        latents = model.quant_conv(model.encoder(pictures(size, 2)))  # (b, d, h, w)
        rows = latents.movedim(1, -1).reshape(-1, size.dim)
        drawn = torch.randn(size.codes, len(rows)) @ (rows - rows.mean(0)) / len(rows) ** 0.5
        model.quantize.embedding.weight.copy_(rows.mean(0) + drawn)
    return model.state_dict()


def pictures(size: Size, count: int) -> Tensor:
    """Clouds: noise whose strength falls with frequency as in photographs, (b, 3, H, W) in [-1, 1]."""
    generator = torch.Generator().manual_seed(1)
    frequencies = torch.fft.fftfreq(size.side)
    falloff = (frequencies[:, None].square() + frequencies.square()).sqrt().clamp(min=1 / size.side)
    noise = torch.randn(count, 3, size.side, size.side, generator=generator)
    clouds = torch.fft.ifft2(torch.fft.fft2(noise) / falloff).real
    return (clouds / clouds.std() / 2).clamp(-1, 1)


def build_taming(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = Taming(size).eval()
    model.load_state_dict(shared)
    return Codec(model.encode, model.decode)


def diffusers_model(size: Size) -> nn.Module:
    module = importlib.import_module("diffusers")
    last = len(size.multipliers) - 1
    torch.manual_seed(0)
    model: nn.Module = module.VQModel(
        down_block_types=("DownEncoderBlock2D",) * last + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * last,
        block_out_channels=tuple(size.channels * multiplier for multiplier in size.multipliers),
        layers_per_block=2,
        latent_channels=size.dim,
        num_vq_embeddings=size.codes,
        vq_embed_dim=size.dim,
    )
    return model.eval()


def build_diffusers(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model: Any = diffusers_model(size)
    with torch.no_grad():
        model.quantize.embedding.weight.copy_(shared["quantize.embedding.weight"])

    def encode(images: Tensor) -> Tensor:
        *_, (_, _, codes) = model.quantize(model.encode(images).latents)
        return codes.view(len(images), size.cells, size.cells)

    def decode(codes: Tensor) -> Tensor:
        latents = model.quantize.get_codebook_entry(codes.flatten(), (*codes.shape, size.dim))
        return model.decode(latents, force_not_quantize=True).sample

    return Codec(encode, decode)


def build_vqgen(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval()
    return Codec(model.encode, model.decode)


def build_bfloat16(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval()
    for part in (model.encoder, model.decoder, model.to_quantizer, model.from_quantizer):
        part.to(torch.bfloat16)  # the codebook stays fp32, and the search with it
    return Codec(lambda images: model.encode(images.bfloat16()), model.decode)


def build_compiled(size: Size, shared: Mapping[str, Tensor]) -> Codec:
    model = from_taming(shared).eval()
    model.encoder.compile()
    model.decoder.compile()
    return Codec(model.encode, model.decode)


CONTESTANTS: dict[str, Callable[[Size, Mapping[str, Tensor]], Codec]] = {
    "vqgen, fp32 (default)": build_vqgen,
    "vqgen, bf16": build_bfloat16,
    "vqgen, fp32, compiled": build_compiled,
    "taming-transformers, fp32": build_taming,
    "diffusers, fp32": build_diffusers,
}
