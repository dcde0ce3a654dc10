"""What every quantizer promises."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vqgen.quantizers
from vqgen.checkpoint import build, config_of
from vqgen.quantizers import (
    EMAVectorQuantizer,
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Quantizer,
    ResidualQuantizer,
    SimVectorQuantizer,
    VectorQuantizer,
)
from vqgen.tokenizer import Decoder, Encoder, Tokenizer


def normalised(quantizer: Quantizer, latents: Tensor) -> Tensor:
    return F.normalize(latents, dim=1)


def soft(quantizer: GumbelQuantizer, latents: Tensor) -> Tensor:
    return F.softmax(latents / quantizer.temperature, dim=1)


def bounded(quantizer: FiniteScalarQuantizer, latents: Tensor) -> Tensor:
    """The bound of 2309.15505, number by number, without the rounding."""
    out = []
    for z, levels in zip(latents.unbind(1), quantizer.levels, strict=True):
        half = (levels - 1) / 2 * 1.001
        offset = 0.5 if levels % 2 == 0 else 0.0
        out.append((torch.tanh(z + torch.atanh(torch.tensor(offset / half))) * half - offset) / (levels // 2))
    return torch.stack(out, dim=1)


def nested() -> ResidualQuantizer:
    """Three depths, each codebook so much finer than the one before that every sum is nearest to its own first code."""
    quantizer = ResidualQuantizer(EMAVectorQuantizer(16, 4, kmeans_start=False), depth=3)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    with torch.no_grad():
        for depth, layer in enumerate([quantizer.quantizer, *quantizer.further]):
            layer.codebook.copy_(corners * 0.3**depth)
    return quantizer


@dataclass(frozen=True)
class Case:
    """A quantizer, and where its definition is not that of plain vector quantization.

    Attributes:
        make: constructs it.
        reference: the differentiable function of the latents whose gradient the quantizer passes on, in evaluation.
        before: from latents that leave to latents that come, where these are not the same thing.
    """

    make: Callable[[], Quantizer]
    reference: Callable[..., Tensor] = lambda quantizer, latents: latents
    before: Callable[..., Tensor] = lambda quantizer, latents: latents


QUANTIZERS = {
    "vector": Case(lambda: VectorQuantizer(16, 4, kmeans_start=False)),
    "vector-l2": Case(lambda: VectorQuantizer(16, 4, l2_normalise=True, kmeans_start=False), normalised),
    "ema": Case(lambda: EMAVectorQuantizer(16, 4, kmeans_start=False)),
    "ema-l2": Case(lambda: EMAVectorQuantizer(16, 4, l2_normalise=True, kmeans_start=False), normalised),
    "gumbel": Case(lambda: GumbelQuantizer(16), soft),
    "gumbel-soft": Case(lambda: GumbelQuantizer(16, hard=False), soft),
    "finite-scalar": Case(
        lambda: FiniteScalarQuantizer((8, 5, 4, 3)), bounded, before=lambda quantizer, z: quantizer.unbounded(z)
    ),
    "lookup-free": Case(lambda: LookupFreeQuantizer(16)),
    "residual": Case(nested),
    "residual-shared": Case(
        lambda: ResidualQuantizer(VectorQuantizer(16, 4, kmeans_start=False), depth=1, shared=True)
    ),
    "sim": Case(lambda: SimVectorQuantizer(16, 4)),
}


@pytest.fixture(params=QUANTIZERS)
def case(request) -> Case:
    torch.manual_seed(0)
    return QUANTIZERS[request.param]


def latents_for(quantizer: Quantizer, b: int = 2, h: int = 3, w: int = 5) -> Tensor:
    return torch.randn(b, quantizer.dim, h, w)


def test_every_public_quantizer_is_tested():
    public = {getattr(vqgen.quantizers, name) for name in vqgen.quantizers.__all__}
    concrete = {
        found
        for found in public
        if inspect.isclass(found) and issubclass(found, Quantizer) and not inspect.isabstract(found)
    }
    assert concrete == {type(each.make()) for each in QUANTIZERS.values()}


@pytest.mark.parametrize("training", [True, False])
def test_codes_are_in_range_and_shapes_fit(case, training):
    quantizer = case.make().train(training)
    out = quantizer(latents_for(quantizer))
    assert out.codes.shape == (2, quantizer.depth * 3, 5)
    assert out.latents.shape == (2, quantizer.dim, 3, 5)
    assert out.codes.dtype == torch.int64
    assert 0 <= int(out.codes.min()) <= int(out.codes.max()) < quantizer.codebook_size
    assert out.loss.shape == ()
    assert out.loss.isfinite()


def test_codes_to_latents_to_codes_is_the_identity(case):
    quantizer = case.make().eval()
    codes = torch.arange(quantizer.codebook_size).repeat(quantizer.depth).view(1, -1, 4)
    codes = codes.flatten()[torch.randperm(codes.numel())].view(1, -1, 4)
    assert torch.equal(quantizer.encode(case.before(quantizer, quantizer.lookup(codes))), codes)


def test_every_code_has_latents_of_its_own(case):
    quantizer = case.make().eval()
    codes = torch.arange(quantizer.codebook_size).view(1, 1, -1).repeat(1, quantizer.depth, 1)
    vectors = quantizer.lookup(codes)[0, :, 0].t()
    assert len(vectors.unique(dim=0)) == quantizer.codebook_size


def test_forward_and_encode_agree_in_evaluation(case):
    quantizer = case.make().eval()
    latents = latents_for(quantizer)
    out = quantizer(latents)
    assert torch.equal(out.codes, quantizer.encode(latents))
    assert torch.allclose(out.latents, quantizer.lookup(out.codes), atol=1e-6)


def test_gradient_is_that_of_the_definition(case):
    quantizer = case.make().eval()
    latents = latents_for(quantizer).requires_grad_(True)
    weights = torch.randn_like(latents)
    (quantizer(latents).latents * weights).sum().backward()
    reference = latents.detach().clone().requires_grad_(True)
    (case.reference(quantizer, reference) * weights).sum().backward()
    assert torch.allclose(latents.grad, reference.grad, atol=1e-5)
    assert latents.grad.abs().sum() > 0


def test_computes_in_fp32_inside_autocast(case):
    quantizer = case.make().eval()
    latents = latents_for(quantizer)
    expected, vectors = quantizer(latents), quantizer.lookup(quantizer.encode(latents))
    with torch.autocast("cpu", torch.bfloat16):
        found, codes = quantizer(latents), quantizer.encode(latents)
        assert torch.equal(quantizer.lookup(codes), vectors)
    assert found.latents.dtype == found.loss.dtype == torch.float32
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(codes, expected.codes)
    assert torch.equal(found.latents, expected.latents)
    assert torch.equal(found.loss, expected.loss)


def test_half_precision_latents_are_quantized_in_fp32(case):
    quantizer = case.make()
    out = quantizer(latents_for(quantizer).bfloat16())
    assert out.latents.dtype == torch.float32
    assert out.loss.dtype == torch.float32


def test_results_do_not_depend_on_the_batch(case):
    quantizer = case.make().eval()
    latents = latents_for(quantizer, b=6)
    together = quantizer(latents)
    for size in (1, 2, 4):
        parts = [quantizer(part) for part in latents.split(size)]
        assert torch.equal(torch.cat([part.codes for part in parts]), together.codes)
        assert torch.allclose(torch.cat([part.latents for part in parts]), together.latents, atol=1e-6)


def test_evaluation_changes_nothing(case):
    quantizer = case.make().eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(latents_for(quantizer))
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


def test_training_gives_finite_gradients(case):
    quantizer = case.make()
    latents = (latents_for(quantizer) * 30).requires_grad_(True)  # far out, where a careless logarithm overflows
    out = quantizer(latents)
    (out.latents.square().mean() + out.loss).backward()
    gradients = [latents.grad, *(parameter.grad for parameter in quantizer.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_description_builds_the_same_quantizer(case):
    quantizer = case.make()
    description = config_of(quantizer)
    again = build(description)
    assert config_of(again) == description
    assert type(again) is type(quantizer)
    again.load_state_dict(quantizer.state_dict(), strict=True)


def test_tokenizer_folder_gives_the_same_codes_and_images(case, tmp_path):
    size = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention_at": (), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), case.make())
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    tokenizer(images)  # learns: what it learned must travel
    tokenizer.eval().save_pretrained(tmp_path / "tokenizer")
    again = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    codes = tokenizer.encode(images)
    assert codes.shape[1:] == tokenizer.grid_size((8, 12))
    assert torch.equal(again.encode(images), codes)
    assert torch.equal(again.decode(codes), tokenizer.decode(codes))
    assert again.decode(codes).shape == images.shape


def test_gradients_reach_the_encoder_through_a_tokenizer(case):
    size = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention_at": (), "latent_channels": 8}
    tokenizer = Tokenizer(Encoder(**size), Decoder(**size), case.make())
    result = tokenizer(torch.rand(2, 3, 8, 8) * 2 - 1)
    (result.images.square().mean() + result.quantizer_loss).backward()
    conv: nn.Conv2d = tokenizer.encoder.conv_in
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0


def test_wrong_width_is_an_error(case):
    quantizer = case.make()
    wrong = torch.randn(1, quantizer.dim + 1, 2, 2)
    for method in (quantizer, quantizer.encode):
        with pytest.raises(ValueError, match=rf"expected latents of width {quantizer.dim}.*got {quantizer.dim + 1}"):
            method(wrong)


@pytest.mark.parametrize("beyond", [False, True])
def test_codes_out_of_range_are_an_error(case, beyond):
    quantizer = case.make()
    code = quantizer.codebook_size if beyond else -1
    with pytest.raises(ValueError, match=rf"codes must be in \[0, {quantizer.codebook_size}\)"):
        quantizer.lookup(torch.full((1, quantizer.depth, 1), code))


@pytest.mark.parametrize("progress", [-0.1, 1.5])
def test_progress_out_of_range_is_an_error(case, progress):
    with pytest.raises(ValueError, match=r"progress must be in \[0, 1\]"):
        case.make().set_progress(progress)
