"""The discriminator with all that decides how it learns and how it is heard."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.losses.adversarial import AdversarialLoss, HingeLoss
from vqgen.losses.adversarial_schedule import AdversarialSchedule
from vqgen.losses.gradient_penalty import r1_penalty
from vqgen.losses.lecam import LeCam


@dataclass(frozen=True)
class Verdict:
    """What the discriminator made of a batch.

    Attributes:
        loss: scalar, what the discriminator learns from, penalties included.
        real: scalar, mean logit of real images, without gradient.
        fake: scalar, mean logit of reconstructions, without gradient.
    """

    loss: Float[Tensor, ""]
    real: Float[Tensor, ""]
    fake: Float[Tensor, ""]


class Adversary(nn.Module):
    """A discriminator, its loss, its schedule and its regularisation.

    Args:
        discriminator: images to logits.
        loss: hinge when left out.
        schedule: when it learns and when it is heard.
        max_weight: to which the adaptive weight is clamped, > 0.
        lecam: weight of the LeCam penalty, >= 0; 0.001 to 0.1 where images are few.
        r1: weight of the gradient penalty, >= 0; about 10 for `normalisation="none"`.
        r1_every: the penalty is computed at every so many steps only, and weighs as many times more, >= 1.
        shift: the discriminator sees images without a border of so many pixels in all, cut at a random place at each
            look, >= 0. Its strides then meet the pixels in every phase, where a fixed one prints its grid on them.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> from vqgen.losses import PatchDiscriminator
        >>> adversary = Adversary(PatchDiscriminator(channels=8, layers=1))
        >>> verdict = adversary.judge(torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16), step=0)
        >>> verdict.loss.requires_grad, verdict.real.shape
        (True, torch.Size([]))
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: AdversarialLoss | None = None,
        schedule: AdversarialSchedule = AdversarialSchedule(),  # noqa: B008  (frozen)
        *,
        max_weight: float = 1e4,
        lecam: float = 0.0,
        r1: float = 0.0,
        r1_every: int = 16,
        shift: int = 0,
    ) -> None:
        super().__init__()
        if max_weight <= 0 or lecam < 0 or r1 < 0 or r1_every < 1 or shift < 0:
            raise ValueError(
                "max_weight must be > 0, lecam, r1 and shift >= 0 and r1_every >= 1, got "
                f"max_weight={max_weight}, lecam={lecam}, r1={r1}, shift={shift}, r1_every={r1_every}"
            )
        self.discriminator = discriminator
        self.loss = loss or HingeLoss()
        self.schedule = schedule
        self.max_weight = max_weight
        self.lecam = lecam
        self.r1 = r1
        self.r1_every = r1_every
        self.shift = shift
        self.anchors = LeCam() if lecam else None

    def generator_loss(self, reconstructions: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
        """What the generator reduces; no gradient reaches the discriminator's weights.

        Args:
            reconstructions: (b, c, H, W).

        Returns:
            The loss, a scalar.
        """
        weights = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        (seen,) = self._cut(reconstructions)
        return self.loss.generator(torch.func.functional_call(self.discriminator, weights, (seen,)))

    def judge(self, images: Float[Tensor, "b c H W"], reconstructions: Float[Tensor, "b c H W"], step: int) -> Verdict:
        """What the discriminator reduces; no gradient reaches the generator.

        Args:
            images: (b, c, H, W) in [-1, 1].
            reconstructions: (b, c, H, W).
            step: generator steps done, for the penalty that is not computed at each.

        Returns:
            Its loss and its mean logits.
        """
        images, reconstructions = self._cut(images, reconstructions)
        # Apart, not in one batch: batch norm would tell the two kinds from each other's statistics.
        real = self.discriminator(images)
        fake = self.discriminator(reconstructions.detach())
        loss = self.loss.discriminator(real, fake)
        if self.anchors is not None:
            loss = loss + self.lecam * self.anchors(real, fake)
        if self.r1 and step % self.r1_every == 0:
            loss = loss + self.r1 * self.r1_every * r1_penalty(self.discriminator, images)
        return Verdict(loss=loss, real=real.detach().float().mean(), fake=fake.detach().float().mean())

    def _cut(self, *images: Float[Tensor, "b c H W"]) -> list[Float[Tensor, "b c h w"]]:
        """All of them cut at one random place, `shift` pixels smaller."""
        if not self.shift:
            return list(images)
        top, left = (int(offset) for offset in torch.randint(self.shift + 1, (2,)))
        height, width = images[0].shape[-2] - self.shift, images[0].shape[-1] - self.shift
        return [each[..., top : top + height, left : left + width] for each in images]
