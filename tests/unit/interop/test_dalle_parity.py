"""DALL-E's discrete VAE: the weights of its package give its logits, codes and images through the map."""

import pytest
import torch
from peers import close, latents, randomise, raw

from vqgen.interop import from_dalle


@pytest.fixture(scope="module")
def peer():
    encoder = pytest.importorskip("dall_e.encoder").Encoder(n_hid=64, vocab_size=512, n_blk_per_group=1)
    decoder = pytest.importorskip("dall_e.decoder").Decoder(n_hid=64, vocab_size=512, n_blk_per_group=1, n_init=32)
    return randomise(encoder, seed=0), randomise(decoder, seed=1)


def images() -> torch.Tensor:
    """A colour a cell: without normalisation, the codes of noise would all be one."""
    colours = torch.rand(2, 3, 3, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return torch.nn.functional.interpolate(colours, scale_factor=8.0)


@pytest.fixture(scope="module")
def tokenizer(peer):
    return from_dalle(*(half.state_dict() for half in peer))


def test_logits_and_codes(peer, tokenizer):
    maps = pytest.importorskip("dall_e.utils")
    with torch.no_grad():
        logits = peer[0](maps.map_pixels((images() + 1) / 2))
    assert close(latents(tokenizer, images()), logits)
    assert torch.equal(tokenizer.encode(images()), logits.argmax(1))


def test_images_and_their_scale(peer, tokenizer):
    maps = pytest.importorskip("dall_e.utils")
    codes = torch.randint(512, (2, 3, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        statistics = peer[1](torch.nn.functional.one_hot(codes, 512).movedim(-1, 1).float())
        log_scale = tokenizer.decoder.distribution(tokenizer.from_quantizer(tokenizer.quantizer.lookup(codes)))[1]
    assert close((raw(tokenizer, codes) + 1) / 2, (torch.sigmoid(statistics[:, :3]) - 0.1) / 0.8)
    assert close((tokenizer.decode(codes) + 1) / 2, maps.unmap_pixels(torch.sigmoid(statistics[:, :3])))
    assert close(log_scale, statistics[:, 3:])


def test_sizes(tokenizer):
    assert tokenizer.downsampling == 8
    assert tokenizer.codebook_size == 512
    assert (tokenizer.encoder.channels, tokenizer.encoder.blocks, tokenizer.decoder.latent_channels) == (64, 1, 32)


def test_missing_and_left_over_names_are_named(peer):
    encoder, decoder = (dict(half.state_dict()) for half in peer)
    del encoder["blocks.group_2.block_1.id_path.b"]
    del decoder["blocks.group_3.block_1.res_path.conv_2.w"]
    decoder["blocks.extra.w"] = torch.zeros(1)
    with pytest.raises(ValueError) as error:
        from_dalle(encoder, decoder)
    message = str(error.value)
    assert "2 missing in the checkpoint" in message
    assert "encoder.blocks.group_2.block_1.id_path.b" in message
    assert "decoder.blocks.group_3.block_1.res_path.conv_2.w" in message
    assert "1 left over in the checkpoint: decoder.blocks.extra.w" in message


def test_halves_in_the_wrong_order_are_refused(peer):
    encoder, decoder = (half.state_dict() for half in peer)
    with pytest.raises(ValueError, match=r"left over|shape|missing"):
        from_dalle(decoder, encoder)
