"""The ViT body: its positions, its blocks, and its independence of the grid."""

import math

import pytest
import torch

from vqgen.tokenizer import ViTDecoder, ViTEncoder
from vqgen.tokenizer.vit_blocks import ViTBlock, grid_positions


def test_positions_are_sines_and_cosines_of_row_and_column():
    found = grid_positions(3, 4, 8)
    for row in range(3):
        for column in range(4):
            expected = [f(place * s) for place in (row, column) for f in (math.sin, math.cos) for s in (1.0, 0.01)]
            assert torch.allclose(found[row * 4 + column], torch.tensor(expected), atol=1e-6)


def test_a_larger_grid_begins_with_the_positions_of_a_smaller():
    small, large = grid_positions(2, 3, 16).view(2, 3, 16), grid_positions(5, 7, 16).view(5, 7, 16)
    assert torch.equal(large[:2, :3], small)


def test_all_cells_differ_in_position():
    found = grid_positions(16, 16, 32)
    assert torch.cdist(found, found).add(torch.eye(256)).min() > 0.05


def test_block_equals_its_definition():
    torch.manual_seed(0)
    block, x = ViTBlock(8, heads=2).eval(), torch.randn(1, 5, 8)
    query, key, value = block.query_key_value(block.attention_norm(x))[0].split(8, dim=1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (query[:, head] @ key[:, head].T / 2).softmax(dim=1)
        heads.append(weights @ value[:, head])
    y = x[0] + block.output(torch.cat(heads, dim=1))
    expected = y + block.narrow(torch.nn.functional.gelu(block.widen(block.feed_forward_norm(y))))
    assert torch.allclose(block(x)[0], expected, atol=1e-5)


def test_a_patch_tells_every_cell():
    encoder = ViTEncoder(patch=2, channels=8, depth=1, heads=1)
    images = torch.zeros(1, 3, 4, 6, requires_grad=True)
    encoder(images)[0, :, 1, 2].sum().backward()
    assert (images.grad.abs().sum(1) > 0).float().mean() > 0.9


def test_the_order_of_pixels_survives_the_two_halves():
    """The decoder lays the pixels of a patch out where the encoder took them from."""
    decoder = ViTDecoder(out_channels=1, patch=2, channels=8, depth=1, heads=1)
    with torch.no_grad():
        decoder.conv_out.weight.zero_()
        decoder.conv_out.bias.copy_(torch.arange(4.0))
    assert decoder(torch.zeros(1, 8, 1, 2))[0, 0].tolist() == [[0, 1, 0, 1], [2, 3, 2, 3]]


@pytest.mark.parametrize("part", [ViTEncoder, ViTDecoder])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 0}, "patch must be >= 1 pixel, got 0"),
        ({"channels": 10, "heads": 2}, "the width a multiple of 4 and of heads, got width=10"),
        ({"channels": 16, "heads": 3}, "the width a multiple of 4 and of heads"),
        ({"depth": 0}, "depth and heads must be >= 1"),
    ],
)
def test_impossible_sizes_are_refused(part, arguments, message):
    with pytest.raises(ValueError, match=message):
        part(**arguments)


def test_positions_of_an_odd_width_are_refused():
    with pytest.raises(ValueError, match="divisible by 4, got dim=6"):
        grid_positions(2, 2, 6)
