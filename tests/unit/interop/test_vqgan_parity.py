"""VQGANs of other projects: their own weights give their own latents, codes and images through the maps."""

import contextlib
import io

import pytest
import torch
from peers import close, images, latents, randomise, raw
from reference_vqgan import LlamaGen, MaskGIT
from torch import nn
from torch.nn import functional as F

from vqgen.interop import from_diffusers, from_llamagen, from_maskgit, from_taming
from vqgen.tokenizer import Tokenizer


class Taming(nn.Module):
    """Its model without Lightning and without its discriminator, of its own parts."""

    def __init__(self, gumbel: bool = False, **sizes) -> None:
        super().__init__()
        model = pytest.importorskip("taming.modules.diffusionmodules.model", exc_type=ImportError)
        quantize = pytest.importorskip("taming.modules.vqvae.quantize", exc_type=ImportError)
        body = {
            "ch": 32,
            "out_ch": 3,
            "ch_mult": (1, 2, 2),
            "num_res_blocks": 1,
            "attn_resolutions": [8],
            "in_channels": 3,
            "resolution": 16,
            "z_channels": 16,
            "double_z": False,
            **sizes,
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it was built of
            self.encoder, self.decoder = model.Encoder(**body), model.Decoder(**body)
        self.loss = nn.Conv2d(3, 1, 1)  # stands for its discriminator
        self.quant_conv, self.post_quant_conv = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        if gumbel:
            self.quantize = quantize.GumbelQuantize(16, 16, n_embed=64)
        else:
            self.quantize = quantize.VectorQuantizer2(64, 16, beta=0.25, sane_index_shape=True)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"ch_mult": (1, 1, 2), "attn_resolutions": [4], "num_res_blocks": 2},
        {"ch_mult": (1, 2), "attn_resolutions": []},
    ],
)
def test_taming_vqgan(sizes):
    peer = randomise(Taming(**sizes))
    tokenizer = from_taming(peer.state_dict())
    theirs = peer.quant_conv(peer.encoder(images()))
    quantized, _, (_, _, codes) = peer.quantize(theirs)
    assert close(latents(tokenizer, images()), theirs)
    assert torch.equal(tokenizer.encode(images()), codes)
    assert codes.unique().numel() > 8
    assert close(raw(tokenizer, codes), peer.decoder(peer.post_quant_conv(quantized)))


def test_taming_vqgan_trains_on_with_its_own_loss():
    peer = randomise(Taming())
    theirs = peer.quant_conv(peer.encoder(images()))
    tokenizer = from_taming(peer.state_dict())
    assert torch.allclose(tokenizer.quantizer(theirs).loss, peer.quantize(theirs)[1], rtol=1e-5)


def test_taming_gumbel():
    peer = randomise(Taming(gumbel=True))
    tokenizer = from_taming(peer.state_dict())
    theirs = peer.quantize.proj(peer.quant_conv(peer.encoder(images())))
    codes = theirs.argmax(1)  # without the noise, which it draws in evaluation too
    assert close(latents(tokenizer, images()), theirs)
    assert torch.equal(tokenizer.encode(images()), codes)
    one_hot = F.one_hot(codes, 64).movedim(-1, 1).float()
    embedded = torch.einsum("bkhw,kd->bdhw", one_hot, peer.quantize.embed.weight)
    assert close(raw(tokenizer, codes), peer.decoder(peer.post_quant_conv(embedded)))


@pytest.mark.parametrize("widths", [[32, 64], [32, 32, 64]])
def test_llamagen(widths):
    peer = randomise(LlamaGen(widths))
    tokenizer = from_llamagen(peer.state_dict())
    codes = peer.codes(images())
    assert close(latents(tokenizer, images()), peer.latents(images()))
    assert torch.equal(tokenizer.encode(images()), codes)
    assert codes.unique().numel() > 8
    assert close(raw(tokenizer, codes), peer.decode(codes))


@pytest.mark.parametrize("widths", [[32, 64], [32, 32, 64]])
def test_maskgit(widths):
    peer = randomise(MaskGIT(widths))
    tokenizer = from_maskgit(peer.state_dict())
    unit = (images() + 1) / 2
    codes = peer.codes(unit)
    assert close(latents(tokenizer, images()), peer.encoder(unit))
    assert torch.equal(tokenizer.encode(images()), codes)
    assert codes.unique().numel() > 8
    assert close((raw(tokenizer, codes) + 1) / 2, peer.decode(codes))


@pytest.mark.parametrize(
    ("down", "up", "middle"),
    [
        (("DownEncoderBlock2D", "AttnDownEncoderBlock2D"), ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), True),
        (("DownEncoderBlock2D", "DownEncoderBlock2D"), ("UpDecoderBlock2D", "UpDecoderBlock2D"), False),
    ],
)
def test_diffusers(down, up, middle):
    diffusers = pytest.importorskip("diffusers")
    peer = diffusers.VQModel(
        down_block_types=down,
        up_block_types=up,
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=8,
        vq_embed_dim=4,
        num_vq_embeddings=64,
        mid_block_add_attention=middle,
    )
    randomise(peer)
    tokenizer = from_diffusers(peer.state_dict(), peer.config)
    theirs = peer.encode(images()).latents
    codes = torch.cdist(theirs.movedim(1, -1), peer.quantize.embedding.weight[None]).argmin(-1)
    assert close(latents(tokenizer, images()), theirs)
    assert torch.equal(tokenizer.encode(images()), codes)
    assert codes.unique().numel() > 8
    assert close(raw(tokenizer, codes), peer.decode(theirs).sample)


@pytest.mark.parametrize(("setting", "value"), [("act_fn", "relu"), ("norm_num_groups", 8), ("norm_type", "spatial")])
def test_diffusers_settings_that_ours_has_not_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"VQModel with {setting}=.* as our layers have it, got {value!r}"):
        from_diffusers({}, {setting: value})


def test_sizes_as_published():
    """The whole of VQ-16: 72 million weights, found by their names, without computing anything."""
    with torch.device("meta"):
        peer = LlamaGen([128, 128, 256, 256, 512], k=16384, latent=256)
    names = {name: torch.empty(()).expand(value.shape) for name, value in peer.state_dict().items()}
    tokenizer: Tokenizer = from_llamagen(names)
    assert tokenizer.downsampling == 16
    assert (tokenizer.codebook_size, tokenizer.quantizer.dim) == (16384, 8)
    assert tokenizer.encoder.attention_at == tokenizer.decoder.attention_at == (16,)
    assert sum(p.numel() for p in tokenizer.parameters()) == pytest.approx(72e6, rel=0.01)
