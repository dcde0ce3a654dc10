"""The adversarial losses, each against its equation."""

import pytest
import torch
from torch import nn

from vqgen.losses import (
    AdversarialSchedule,
    Adversary,
    HingeLoss,
    LeCam,
    PatchDiscriminator,
    ReconstructionLoss,
    VanillaLoss,
    adaptive_weight,
    r1_penalty,
)


def small(**options):
    return PatchDiscriminator(channels=8, layers=1, normalisation="none", **options)


def images(seed=0, channels=3):
    return torch.rand(4, channels, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_patch_discriminator_sees_patches_of_the_papers_size():
    discriminator = PatchDiscriminator(channels=8, layers=3, normalisation="none")
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = discriminator(picture)
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    seen = picture.grad.abs().sum((0, 1)) > 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == 70


def test_patch_discriminator_has_the_papers_widths():
    convolutions = [module for module in PatchDiscriminator().modules() if isinstance(module, nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == [64, 128, 256, 512, 1]
    assert [convolution.stride[0] for convolution in convolutions] == [2, 2, 2, 1, 1]
    assert sum(parameter.numel() for parameter in PatchDiscriminator().parameters()) == 2_765_633


@pytest.mark.parametrize("normalisation", ["group", "none"])
def test_only_batch_normalisation_mixes_images(normalisation):
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=16, layers=1, normalisation=normalisation)
    batch = images()
    assert torch.allclose(discriminator(batch)[:1], discriminator(batch[:1]), atol=1e-6)
    mixing = PatchDiscriminator(channels=16, layers=1, normalisation="batch")
    assert not torch.allclose(mixing(batch)[:1], mixing(batch[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "picture", "message"),
    [
        ({"layers": 3}, torch.zeros(1, 3, 16, 32), "needs images of 24 x 24 or more, got 16 x 32; give it fewer"),
        ({}, torch.zeros(1, 1, 32, 32), "expects 3 channels, got 1; set its in_channels"),
    ],
)
def test_images_that_do_not_fit_are_refused(options, picture, message):
    with pytest.raises(ValueError, match=message):
        PatchDiscriminator(**options)(picture)


@pytest.mark.parametrize("options", [{"layers": 0}, {"channels": 0}])
def test_impossible_discriminators_are_refused(options):
    with pytest.raises(ValueError, match="must be >= 1"):
        PatchDiscriminator(**options)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises((ValueError, TypeError), match="normalisation"):  # TypeError from the checked annotation
        PatchDiscriminator(normalisation="layer")


def test_hinge_stops_pulling_beyond_the_margin():
    real = torch.tensor([0.5, 1.5], requires_grad=True)
    fake = torch.tensor([-0.5, -1.5], requires_grad=True)
    HingeLoss().discriminator(real, fake).backward()
    assert real.grad.tolist() == [-0.25, 0.0]
    assert fake.grad.tolist() == [0.25, 0.0]


def test_vanilla_is_binary_cross_entropy():
    real, fake = torch.randn(5), torch.randn(5)
    entropy = nn.functional.binary_cross_entropy_with_logits
    expected = (entropy(real, torch.ones(5)) + entropy(fake, torch.zeros(5))) / 2
    assert torch.allclose(VanillaLoss().discriminator(real, fake), expected)
    assert torch.allclose(VanillaLoss().generator(fake), entropy(fake, torch.ones(5)))


@pytest.mark.parametrize("loss", [HingeLoss(), VanillaLoss()])
def test_both_sides_pull_against_each_other(loss):
    fake = torch.randn(8, requires_grad=True)
    (up,) = torch.autograd.grad(loss.generator(fake), fake)
    (down,) = torch.autograd.grad(loss.discriminator(torch.zeros(1), fake), fake)
    assert (up < 0).all()
    assert (down >= 0).all()


def test_adaptive_weight_is_equation_7():
    torch.manual_seed(0)
    trunk, last, discriminator = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1), small()
    decoded = last(torch.relu(trunk(images())))
    reconstruction = ReconstructionLoss()(decoded, images(1))
    adversarial = HingeLoss().generator(discriminator(decoded))
    norms = [
        torch.autograd.grad(loss, last.weight, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    ]
    pulls = [torch.autograd.grad(loss, decoded, retain_graph=True)[0] for loss in (reconstruction, adversarial)]
    weight = adaptive_weight(decoded, *pulls, last.weight)
    assert torch.allclose(weight, norms[0] / (norms[1] + 1e-6), rtol=1e-4)
    assert adaptive_weight(decoded, *pulls, last.weight, maximum=1e-3).item() == pytest.approx(1e-3)
    assert adaptive_weight(decoded, pulls[0], torch.zeros_like(decoded), last.weight).item() == 1e4


def test_schedule_lets_the_discriminator_learn_before_it_is_heard():
    schedule = AdversarialSchedule(start=3, alone=2, ramp=2, weight=1.0)
    assert [schedule.learning(step) for step in range(5)] == [False, False, False, True, True]
    assert [schedule.weight_at(step) for step in range(8)] == [0, 0, 0, 0, 0, 0.5, 1, 1]
    assert AdversarialSchedule(start=0, alone=0, ramp=0, weight=0.5).weight_at(0) == 0.5


def test_a_negative_schedule_is_refused():
    with pytest.raises(ValueError, match="must be >= 0, got start=0, alone=-1"):
        AdversarialSchedule(alone=-1)


def test_r1_is_the_squared_gradient_at_real_images():
    torch.manual_seed(0)
    discriminator, batch = small(), images().requires_grad_()
    expected = 0.0
    for index in range(len(batch)):
        (gradient,) = torch.autograd.grad(discriminator(batch[index : index + 1]).mean(), batch)
        expected += 0.5 * gradient.square().sum().item() / len(batch)
    with torch.autocast("cpu", torch.bfloat16):
        penalty = r1_penalty(discriminator, images())
    assert penalty.item() == pytest.approx(expected, rel=1e-4)
    penalty.backward()
    assert all(p.grad is not None for p in discriminator.parameters() if p.ndim > 1)


def test_lecam_compares_with_moving_averages_of_the_other_kind():
    lecam = LeCam(decay=0.75)
    lecam(torch.tensor([1.0, 3.0]), torch.tensor([-1.0]))
    assert lecam.anchors.tolist() == [2.0, -1.0]
    loss = lecam(torch.tensor([6.0]), torch.tensor([-5.0]))
    assert lecam.anchors.tolist() == [3.0, -2.0]
    assert loss.item() == (6 + 2) ** 2 + (-5 - 3) ** 2
    assert "anchors" in lecam.state_dict()


def test_lecam_refuses_a_decay_of_one():
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got 1"):
        LeCam(decay=1.0)


def test_each_side_moves_only_its_own_weights():
    adversary = Adversary(small())
    reconstructions = images().requires_grad_()
    adversary.generator_loss(reconstructions).backward()
    assert reconstructions.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    reconstructions.grad = None
    adversary.judge(images(1), reconstructions, step=0).loss.backward()
    assert reconstructions.grad is None
    assert all(parameter.grad is not None for parameter in adversary.parameters())


def test_generator_loss_is_that_of_the_discriminator_as_it_is():
    adversary = Adversary(small())
    expected = -adversary.discriminator(images()).mean()
    assert torch.allclose(adversary.generator_loss(images()), expected)


def test_penalties_are_added_as_weighted_and_the_lazy_one_at_its_steps():
    torch.manual_seed(0)
    plain = Adversary(discriminator := small())
    penalised = Adversary(discriminator, r1=2.0, r1_every=3)
    expected = plain.judge(images(), images(1), 0).loss + 6.0 * r1_penalty(discriminator, images())
    assert torch.allclose(penalised.judge(images(), images(1), 0).loss, expected)
    assert torch.allclose(penalised.judge(images(), images(1), 1).loss, plain.judge(images(), images(1), 1).loss)
    verdict = plain.judge(images(), images(1), 0)
    anchored = Adversary(discriminator, lecam=0.5).judge(images(), images(1), 0)
    real, fake = discriminator(images()), discriminator(images(1))
    extra = (real - verdict.fake).square().mean() + (fake - verdict.real).square().mean()
    assert torch.allclose(anchored.loss, verdict.loss + 0.5 * extra, rtol=1e-4)
    assert torch.allclose(verdict.real, real.mean())


def test_shift_shows_both_kinds_cut_at_one_random_place():
    class Eye(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, picture):
            self.seen.append(picture)
            return picture.mean((1, 2, 3))

    torch.manual_seed(0)
    adversary = Adversary(Eye(), shift=2)
    where = torch.arange(64.0).view(1, 1, 8, 8)
    places = set()
    for _ in range(50):
        adversary.judge(where, where, step=0)
        real, fake = adversary.discriminator.seen[-2:]
        assert torch.equal(real, fake)
        assert real.shape == (1, 1, 6, 6)
        places.add(int(real[0, 0, 0, 0]))
    assert places == {0, 1, 2, 8, 9, 10, 16, 17, 18}
    assert torch.isfinite(adversary.generator_loss(where))
    assert adversary.discriminator.seen[-1].shape == (1, 1, 6, 6)


@pytest.mark.parametrize(
    "options", [{"max_weight": 0.0}, {"lecam": -1.0}, {"r1": -1.0}, {"r1_every": 0}, {"shift": -1}]
)
def test_impossible_adversaries_are_refused(options):
    with pytest.raises(ValueError, match="max_weight must be > 0, lecam, r1 and shift >= 0 and r1_every >= 1"):
        Adversary(small(), **options)
