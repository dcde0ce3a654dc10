"""Coding window by window: where it equals one pass, how near it is elsewhere, and what it holds at a time."""

import pytest
import torch

from vqgen.quantizers import EMAVectorQuantizer, ResidualQuantizer
from vqgen.tokenizer import (
    Decoder,
    DVAEDecoder,
    DVAEEncoder,
    Encoder,
    Tokenizer,
    ViTDecoder,
    ViTEncoder,
    decode_tiled,
    encode_tiled,
)
from vqgen.tokenizer.tiled import windows

REACH = 6
"""Cells that the small dVAE below sees to each side: 24 pixels of 4 a cell."""


def make_tokenizer(body: str, quantizer=None) -> Tokenizer:
    torch.manual_seed(0)
    if body == "dvae":
        size = {"channels": 8, "levels": 3, "blocks": 1}
        halves = DVAEEncoder(**size), DVAEDecoder(**size, latent_channels=8)
    elif body == "vit":
        size = {"patch": 4, "channels": 16, "depth": 1, "heads": 2}
        halves = ViTEncoder(**size), ViTDecoder(**size)
    else:
        size = {
            "channels": 16,
            "multipliers": (1, 1),
            "patch": 2,
            "blocks": 1,
            "latent_channels": 8,
            "attention_at": (),
        }
        size["middle_attention"] = body == "attention"
        halves = Encoder(**size), Decoder(**size)
    return Tokenizer(*halves, quantizer or EMAVectorQuantizer(64, 4, kmeans_start=False)).eval()


def make_images(h: int, w: int, count: int = 1) -> torch.Tensor:
    """Cells of 4 pixels, brighter to the right and rougher below, so that no two windows have the same statistics."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(count, 3, 4 * h, 4 * w, generator=generator)
    ramp = torch.linspace(-0.8, 0.8, 4 * w) + torch.zeros(4 * h, 1)
    return (ramp + noise * torch.linspace(0.05, 0.5, 4 * h)[:, None]).clamp(-1, 1)


@pytest.mark.parametrize(("size", "tile", "overlap"), [((1, 1), 3, 2), ((7, 5), 3, 0), ((6, 9), 2, 4), ((4, 4), 9, 1)])
def test_windows_decide_each_cell_once_and_reach_as_far_as_they_may(size, tile, overlap):
    decided = torch.zeros(size, dtype=torch.int64)
    for window in windows(size, tile, overlap):
        part = decided[window.rows, window.columns]
        part[window.core_rows, window.core_columns] += 1
        assert max(part.shape) <= tile + 2 * overlap
        for cells, core, length in zip((window.rows, window.columns), (window.core_rows, window.core_columns), size):  # noqa: B905
            assert core.start == min(overlap, cells.start + core.start)
            assert cells.stop - cells.start - core.stop == min(overlap, length - cells.start - core.stop)
    assert (decided == 1).all()


@pytest.mark.parametrize("tile", [3, 8, 11])
def test_layers_that_look_nearby_are_exact_everywhere(tile):
    tokenizer, images = make_tokenizer("dvae"), make_images(16, 21, count=2)
    codes = tokenizer.encode(images)
    assert codes.unique().numel() > 4
    assert torch.equal(encode_tiled(tokenizer, images, tile=tile, overlap=REACH), codes)
    random = torch.randint(64, codes.shape)
    found = decode_tiled(tokenizer, random, tile=tile, overlap=REACH)
    assert torch.allclose(found, tokenizer.decode(random), atol=1e-6)


def test_without_overlap_only_what_is_away_from_the_seams_is_exact():
    tokenizer, codes = make_tokenizer("dvae"), torch.randint(64, (1, 32, 16))
    difference = (decode_tiled(tokenizer, codes, tile=16, overlap=0) - tokenizer.decode(codes)).abs().amax((0, 1, 3))
    seam = 16 * 4
    assert difference[seam - 2 : seam + 2].max() > 1e-4
    away = torch.cat((difference[: seam - 4 * REACH], difference[seam + 4 * REACH :]))
    assert away.max() < 1e-6


def tiled_latents(tokenizer: Tokenizer, images: torch.Tensor, passes: int) -> torch.Tensor:
    """What goes into the quantizer in the last pass, the windows' cores laid out as one grid."""
    parts: list[torch.Tensor] = []
    hook = tokenizer.to_quantizer.register_forward_hook(lambda module, given, out: parts.append(out))
    encode_tiled(tokenizer, images, tile=10, overlap=12, passes=passes)
    hook.remove()
    whole = torch.empty(1, 4, images.shape[2] // 4, images.shape[3] // 4)
    cut = list(windows((whole.shape[2], whole.shape[3]), 10, 12))
    for window, part in zip(cut, parts[-len(cut) :], strict=True):
        core = part[:, :, window.core_rows, window.core_columns]
        whole[:, :, window.rows, window.columns][:, :, window.core_rows, window.core_columns] = core
    return whole


def test_group_norm_is_exact_after_as_many_passes_as_there_are_norms():
    tokenizer, images = make_tokenizer("norms"), make_images(20, 48)
    norms, decoder_norms = (
        sum(isinstance(module, torch.nn.GroupNorm) for module in half.modules())
        for half in (tokenizer.encoder, tokenizer.decoder)
    )
    latents = [tiled_latents(tokenizer, images, passes) for passes in (1, 6, norms + 1)]
    with torch.no_grad():
        expected = tokenizer.to_quantizer(tokenizer.encoder(images))
    errors = [(found - expected).abs().max().item() / expected.std().item() for found in latents]
    assert (norms, decoder_norms) == (9, 13)
    assert errors[0] > 0.1
    assert errors[1] < errors[0]
    assert errors[2] < 1e-4
    tokens = encode_tiled(tokenizer, images, tile=10, overlap=12, passes=norms + 1)
    assert (tokens == tokenizer.encode(images)).float().mean() > 0.99
    codes = torch.randint(64, (1, 20, 48))
    found = decode_tiled(tokenizer, codes, tile=10, overlap=12, passes=decoder_norms + 1)
    assert torch.allclose(found, tokenizer.decode(codes), atol=1e-4)


@pytest.mark.parametrize("body", ["vit", "attention"])
def test_with_attention_a_tile_is_what_its_window_says(body):
    tokenizer, images = make_tokenizer(body), make_images(6, 8)
    codes = encode_tiled(tokenizer, images, tile=4, overlap=1, passes=1)
    # The second window of the first row: rows 0 to 5, columns 3 to 8, of which it decides rows 0 to 4, columns 4 to 8.
    window = tokenizer.encode(images[:, :, :20, 12:32])
    assert torch.equal(codes[:, :4, 4:8], window[:, :4, 1:5])
    decoded = decode_tiled(tokenizer, codes, tile=4, overlap=1, passes=1)
    expected = tokenizer.decode(codes[:, :5, 3:8])
    assert torch.allclose(decoded[:, :, :16, 16:32], expected[:, :, :16, 4:20], atol=1e-5)


@pytest.mark.parametrize("body", ["dvae", "vit", "norms", "attention"])
def test_an_image_of_one_window_is_coded_as_ever(body):
    tokenizer, images = make_tokenizer(body), make_images(5, 7, count=2)
    codes = tokenizer.encode(images)
    assert torch.equal(encode_tiled(tokenizer, images, tile=7, overlap=3), codes)
    assert torch.equal(decode_tiled(tokenizer, codes, tile=7, overlap=3), tokenizer.decode(codes))


def test_several_codes_a_cell_stay_with_their_cell():
    quantizer = ResidualQuantizer(EMAVectorQuantizer(16, 4, kmeans_start=False), depth=2)
    tokenizer, images = make_tokenizer("dvae", quantizer), make_images(9, 14)
    codes = tokenizer.encode(images)
    assert codes.shape == (1, 2 * 9, 14)
    assert torch.equal(encode_tiled(tokenizer, images, tile=4, overlap=REACH), codes)
    found = decode_tiled(tokenizer, codes, tile=4, overlap=REACH)
    assert torch.allclose(found, tokenizer.decode(codes), atol=1e-6)


def test_no_more_than_a_window_is_seen_at_a_time():
    tokenizer, seen = make_tokenizer("norms"), []
    tokenizer.encoder.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[2:])))
    encode_tiled(tokenizer, make_images(20, 30), tile=6, overlap=2, passes=2)
    assert len(seen) == 2 * 4 * 5
    assert max(max(size) for size in seen) == (6 + 2 * 2) * 4


def test_a_body_without_group_norm_is_gone_through_once():
    tokenizer, seen = make_tokenizer("vit"), []
    tokenizer.encoder.register_forward_pre_hook(lambda module, given: seen.append(1))
    encode_tiled(tokenizer, make_images(8, 8), tile=4, overlap=1, passes=5)
    assert len(seen) == 4


def test_the_norms_are_their_own_again_afterwards_and_after_a_failure():
    tokenizer, images = make_tokenizer("norms"), make_images(8, 8)
    before = tokenizer.encode(images)
    encode_tiled(tokenizer, images, tile=4, overlap=1)
    with pytest.raises(ValueError, match="do they come from another tokenizer"):
        decode_tiled(tokenizer, torch.full((1, 8, 8), 999), tile=4, overlap=1)
    norms = [module for module in tokenizer.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert all("forward" not in vars(norm) for norm in norms)
    assert torch.equal(tokenizer.encode(images), before)


@pytest.mark.parametrize("arguments", [{"tile": 0}, {"overlap": -1}, {"passes": 0}])
def test_impossible_numbers_are_refused(arguments):
    tokenizer = make_tokenizer("dvae")
    with pytest.raises(ValueError, match="tile and overlap count cells, not pixels"):
        encode_tiled(tokenizer, make_images(4, 4), **arguments)
    with pytest.raises(ValueError, match="tile and passes must be >= 1"):
        decode_tiled(tokenizer, torch.zeros(1, 4, 4, dtype=torch.int64), **arguments)


def test_an_indivisible_size_is_refused():
    with pytest.raises(ValueError, match="divisible by the tokenizer's downsampling 4"):
        encode_tiled(make_tokenizer("dvae"), torch.zeros(1, 3, 10, 8))
