"""Drawing with a cache predicts what one full forward pass predicts, for every order, signal and style."""

import pytest
import torch
from torch import Tensor

from vqgen.attention import packed_for_inference
from vqgen.orders import ORDERS, available_orders
from vqgen.prior import SIGNALS, STYLES, Prior

COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary"), ("step", "rotary"), ("step", "cell", "rotary")]
TOLERANCE = 1e-4


def lively_prior(style: str, signals: tuple[str, ...], height: int, width: int, num_classes: int = 3) -> Prior:
    """A prior whose every parameter matters: as built, its blocks add nothing and its logits are all zero."""
    torch.manual_seed(0)
    prior = Prior(
        20, height, width, num_classes, dim=16, depth=2, heads=2, style=style, signals=signals, label_dropout=0.0
    )
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def logits_step_by_step(prior: Prior, sequence: Tensor, positions: Tensor, condition: Tensor | None) -> Tensor:
    cache = prior.new_cache(len(sequence))
    steps = [prior.advance(sequence[:, :0], positions, cache, condition)]
    steps += [
        prior.advance(sequence[:, step : step + 1], positions, cache, condition)
        for step in range(sequence.shape[1] - 1)
    ]
    return torch.cat(steps, dim=1)


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (5, 2), (1, 3), (1, 1)])
def test_cached_logits_equal_the_full_forward_pass_for_every_order(
    style: str, signals: tuple[str, ...], height: int, width: int
) -> None:
    orders = available_orders(height=height, width=width)  # one image in each order, all in one batch
    if (height, width) == (4, 4):
        assert orders.keys() == ORDERS.keys()
    prior, cells = lively_prior(style, signals, height, width), height * width
    sequence, condition = torch.randint(20, (len(orders), cells)), torch.arange(len(orders)) % 4 - 1
    positions = torch.stack([order.positions for order in orders.values()])
    full = prior(sequence, positions, condition)
    cached = logits_step_by_step(prior, sequence, positions, condition)
    assert full.std() > 0.5  # the comparison is of something
    for name, expected, logits in zip(orders, full, cached, strict=True):
        torch.testing.assert_close(
            logits, expected, atol=TOLERANCE, rtol=0.0, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
def test_cached_logits_equal_the_full_forward_pass_with_an_order_that_all_share(
    style: str, signals: tuple[str, ...]
) -> None:
    prior, positions = lively_prior(style, signals, height=3, width=5), torch.randperm(15)
    sequence, condition = torch.randint(20, (3, 15)), torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        logits_step_by_step(prior, sequence, positions, condition),
        prior(sequence, positions, condition),
        atol=TOLERANCE,
        rtol=0.0,
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("parts", [(14,), (5, 9), (0, 1, 6, 7), (1, 13)])
def test_cached_logits_do_not_depend_on_how_the_sequence_is_cut(style: str, parts: tuple[int, ...]) -> None:
    prior = lively_prior(style, ("target", "rotary"), height=3, width=5, num_classes=0)
    sequence, positions = torch.randint(20, (2, 15)), torch.randperm(15)
    full, cache, seen = prior(sequence, positions), prior.new_cache(2), 0
    pieces = []
    for count in parts:
        pieces.append(prior.advance(sequence[:, seen : seen + count], positions, cache))
        seen += count
    assert cache.length == 15
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize("style", STYLES)
def test_shared_positions_equal_the_same_positions_given_per_image(style: str) -> None:
    prior = lively_prior(style, ("target", "rotary"), height=3, width=5, num_classes=0)
    sequence, positions = torch.randint(20, (2, 15)), torch.randperm(15)
    torch.testing.assert_close(prior(sequence, positions), prior(sequence, positions.repeat(2, 1)))


@pytest.mark.parametrize("kernel", ["plain", "mkl", "onednn"])
@pytest.mark.parametrize("style", STYLES)
def test_logits_with_packed_weights_equal_the_full_forward_pass(style: str, kernel: str) -> None:
    if kernel != "plain" and not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()):
        pytest.skip("this build of torch has no MKL or no oneDNN")
    prior = lively_prior(style, ("target", "rotary"), height=3, width=5)
    sequence, positions, condition = torch.randint(20, (4, 15)), torch.randperm(15), torch.tensor([0, 1, 2, -1])
    full = prior(sequence, positions, condition)
    with torch.inference_mode():
        packed = packed_for_inference(prior, rows=4, kernel=kernel)
        logits = logits_step_by_step(packed, sequence, positions, condition)
    torch.testing.assert_close(logits, full, atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize("style", STYLES)
def test_cached_logits_equal_the_full_forward_pass_of_a_prior_that_knows_its_codes(style: str) -> None:
    prior = lively_prior(style, ("target", "rotary"), 3, 4)
    first, sequence, positions = torch.zeros(1, 1).long(), torch.randint(20, (2, 12)), torch.randperm(12)
    plain = prior(first, positions)
    prior.use_codebook(torch.randn(20, 5))
    assert prior.code_features is not None
    assert torch.equal(prior(first, positions), plain)  # before training, the head knows nothing of the latents
    for parameter in prior.code_features.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    full = prior(sequence, positions, None)
    torch.testing.assert_close(logits_step_by_step(prior, sequence, positions, None), full, atol=TOLERANCE, rtol=0.0)
    packed = packed_for_inference(prior, rows=2, kernel="onednn")
    torch.testing.assert_close(packed(sequence, positions, None), full, atol=TOLERANCE, rtol=0.0)
