"""What runs on the CPU runs on a GPU and gives the same; without a GPU these tests check the CPU's path alone.

Tests hide the GPU unless told otherwise (tests/conftest.py): ``CUDA_VISIBLE_DEVICES=0 make test ARGS=tests/contract``.
"""

import copy

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline
from torch import nn
from torch.nn import functional as F

from vqgen.conditioning import (
    AlignedGridConditioner,
    ConvolutionalContext,
    PrefixGridConditioner,
    SpatialConditioner,
)
from vqgen.losses import ReconstructionLoss
from vqgen.metrics import likelihood_bound
from vqgen.orders import order_policy, scan_order
from vqgen.prior import SIGNALS, STYLES, MaskedPrior, Prior
from vqgen.quantizers import (
    EMAVectorQuantizer,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    ResidualQuantizer,
    SimVectorQuantizer,
    VectorQuantizer,
)
from vqgen.sampling import (
    UNKNOWN,
    guidance_ramp,
    sample_autoregressive,
    sample_by_confidence,
    sample_groups,
    sample_masked,
)
from vqgen.training.muon import MuonAdamW

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
COMBINATIONS = [*((name,) for name in SIGNALS), ("target", "rotary")]
TOLERANCE = 1e-3


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lively_prior(style: str = "llama", signals: tuple[str, ...] = ("target", "rotary")) -> Prior:
    torch.manual_seed(0)
    prior = Prior(20, 4, 4, 3, dim=32, depth=2, heads=2, style=style, signals=signals, label_dropout=0.0)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.2)
    return prior


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("style", STYLES)
def test_logits_and_gradients_are_those_of_the_cpu(device: str, style: str, signals: tuple[str, ...]) -> None:
    prior = lively_prior(style, signals)
    there = copy.deepcopy(prior).to(device)
    sequence, labels = torch.randint(20, (3, 16)), torch.tensor([0, 2, -1])
    positions = torch.stack([torch.randperm(16) for _ in range(3)])
    expected = prior(sequence, positions, labels)
    logits = there(sequence.to(device), positions.to(device), labels.to(device))
    torch.testing.assert_close(logits.cpu(), expected, atol=TOLERANCE, rtol=TOLERANCE)
    F.cross_entropy(expected.flatten(0, 1), sequence.flatten()).backward()
    F.cross_entropy(logits.flatten(0, 1), sequence.flatten().to(device)).backward()
    for (name, here), moved in zip(prior.named_parameters(), there.parameters(), strict=True):
        assert here.grad is not None, name
        assert moved.grad is not None, name
        torch.testing.assert_close(moved.grad.cpu(), here.grad, atol=TOLERANCE, rtol=TOLERANCE, msg=name)


@pytest.mark.parametrize("signals", COMBINATIONS, ids="+".join)
def test_what_is_drawn_does_not_depend_on_the_device(device: str, signals: tuple[str, ...]) -> None:
    prior = lively_prior(signals=signals).double()  # so that rounding decides no code
    there = copy.deepcopy(prior).to(device)
    labels, positions = torch.tensor([0, 2]), torch.stack([torch.randperm(16) for _ in range(2)])
    settings = {"guidance": 2.0, "top_k": 10, "top_p": 0.95, "seed": 3}
    expected = sample_autoregressive(prior, positions, labels, **settings)
    assert torch.equal(sample_autoregressive(there, positions, labels, **settings).cpu(), expected)
    groups = (1, 2, 5, 8)
    expected = sample_groups(prior, positions, labels, groups=groups, **settings)
    assert torch.equal(sample_groups(there, positions, labels, groups=groups, **settings).cpu(), expected)
    expected = sample_by_confidence(prior, labels, groups=groups, **settings).positions
    assert torch.equal(sample_by_confidence(there, labels, groups=groups, **settings).positions.cpu(), expected)


@pytest.mark.parametrize("signals", [("cell", "rotary"), ("target",)], ids="+".join)
def test_a_masked_prior_learns_and_draws_the_same(device: str, signals: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    prior = MaskedPrior(20, 4, 4, 3, dim=32, depth=2, heads=2, signals=signals, label_dropout=0.0).double()
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.2)
    there, codes, labels = copy.deepcopy(prior).to(device), torch.randint(20, (3, 4, 4)), torch.tensor([0, 2, -1])
    positions = torch.stack([torch.randperm(16) for _ in range(3)])
    nats = [
        each.nll(codes.to(place), positions.to(place), labels.to(place), generator=torch.Generator().manual_seed(1))
        for each, place in ((prior, "cpu"), (there, device))
    ]
    torch.testing.assert_close(nats[1].cpu(), nats[0], atol=TOLERANCE, rtol=TOLERANCE)
    nats[1].mean().backward()
    assert all(parameter.grad is not None for parameter in there.parameters())
    bounds = [
        likelihood_bound(each, codes.to(place), labels.to(place), downsampling=8, passes=4).nats.cpu()
        for each, place in ((prior, "cpu"), (there, device))
    ]
    torch.testing.assert_close(bounds[1], bounds[0], atol=TOLERANCE, rtol=TOLERANCE)
    known = codes.masked_fill(torch.rand(3, 4, 4) < 0.7, UNKNOWN)
    settings = {"steps": 6, "guidance": guidance_ramp("linear", 3.0), "top_k": 10, "seed": 3}
    expected = sample_masked(prior, labels, known=known, **settings)
    assert torch.equal(sample_masked(there, labels.to(device), known=known.to(device), **settings).cpu(), expected)


@pytest.mark.parametrize(
    "quantizer",
    [
        VectorQuantizer(16, 4, kmeans_start=False),
        EMAVectorQuantizer(16, 4, kmeans_start=False),
        FiniteScalarQuantizer((4, 4, 3, 3)),
        GumbelQuantizer(4),
        LookupFreeQuantizer(16),
        ResidualQuantizer(EMAVectorQuantizer(16, 4, kmeans_start=False), depth=2),
        SimVectorQuantizer(16, 4),
    ],
    ids=lambda quantizer: type(quantizer).__name__,
)
def test_quantizers_find_the_same_codes_and_train(device: str, quantizer: nn.Module) -> None:
    torch.manual_seed(0)
    latents = torch.randn(2, 4, 5, 3)
    there = copy.deepcopy(quantizer).eval().to(device)
    expected, found = copy.deepcopy(quantizer).eval()(latents), there(latents.to(device))
    assert torch.equal(found.codes.cpu(), expected.codes)
    leaf = latents.to(device).requires_grad_()
    result = there.train()(leaf)
    (result.latents.square().mean() + result.loss).backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.isfinite().all())


@pytest.mark.parametrize(
    "conditioner",
    [
        AlignedGridConditioner(5, 4, 4, dim=32, context=ConvolutionalContext(32)),
        AlignedGridConditioner(5, 8, 8, dim=32, height=4, width=4),
        AlignedGridConditioner(5, 3, 3, dim=32, height=4, width=4),
        PrefixGridConditioner(5, 3, 3, dim=32),
    ],
    ids=["context", "patches", "coarser", "prefix"],
)
def test_grids_as_conditions_give_the_same_logits(device: str, conditioner: SpatialConditioner) -> None:
    torch.manual_seed(0)
    prior = Prior(20, 4, 4, dim=32, depth=2, heads=2, conditioner=copy.deepcopy(conditioner))
    prior.conditioner.use_codebook(torch.randn(5, 3))
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.2)
    prior.eval()
    condition = torch.randint(5, (3, conditioner.grid_height, conditioner.grid_width))
    positions = torch.stack([torch.randperm(16) for _ in range(3)])
    expected = prior(torch.arange(16).expand(3, -1), positions, condition)
    there = copy.deepcopy(prior).to(device)
    found = there(torch.arange(16).expand(3, -1).to(device), positions.to(device), condition.to(device))
    torch.testing.assert_close(found.cpu(), expected, atol=2e-2, rtol=0.0)
    drawn = sample_autoregressive(there, positions, condition, temperature=0.0, guidance=2.0)
    assert drawn.device.type == device
    there.train().nll(
        torch.zeros(3, 4, 4, dtype=torch.int64, device=device), positions.to(device), condition.to(device)
    )


def test_a_pipeline_works_wholly_on_its_device(device: str) -> None:
    pipeline = make_tiny_pipeline("random-per-sample").to(device)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert pipeline.device.type == device
    assert pipeline.generate(2, seed=1, guidance=2.0, condition=[0, 1]).shape == (2, 3, 64, 64)
    assert pipeline.generate(2, seed=1, steps=8, order="halton").device.type == "cpu"  # wherever it was drawn
    assert pipeline.reconstruct(images.to(device)).shape == images.shape
    assert len(pipeline.log_likelihood(images.to(device), order=2).members) == 2
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:40, 16:40] = True
    assert pipeline.inpaint(images.to(device), mask.to(device)).shape == images.shape
    assert pipeline.generate_larger(1, height=96, width=64).shape == (1, 3, 96, 64)


@pytest.mark.parametrize("order", ["random-per-sample", "annealed:random-per-sample->raster@0-10", "hilbert"])
def test_policies_give_orders_that_a_prior_elsewhere_takes(device: str, order: str) -> None:
    prior = lively_prior().to(device)
    positions = order_policy(order, height=4, width=4).at(5).positions(3)
    assert prior(torch.zeros(3, 16, dtype=torch.int64, device=device), positions.to(device)).device.type == device
    assert scan_order("hilbert", height=4, width=4).scan(torch.zeros(2, 4, 4, device=device)).device.type == device


def test_muon_takes_the_same_step(device: str) -> None:
    torch.manual_seed(0)
    weight, gradient = torch.randn(8, 16), torch.randn(8, 16)
    ends = []
    for place in ("cpu", device):
        parameter = nn.Parameter(weight.clone().to(place))
        optimizer = MuonAdamW([{"params": [parameter], "muon": True}], lr=0.1)
        for _ in range(3):
            parameter.grad = gradient.to(place)
            optimizer.step()
        ends.append(parameter.detach().cpu())
    assert not torch.equal(ends[0], weight)
    torch.testing.assert_close(ends[1], ends[0], atol=2e-2, rtol=2e-2)  # its products run in bf16 on GPUs that have it


def test_losses_stay_on_the_device(device: str) -> None:
    images = torch.rand(2, 3, 8, 8, device=device)
    assert ReconstructionLoss(l1=1.0, l2=1.0)(images, images.flip(-1)).device.type == device
