"""What discriminator and generator each try to reduce."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AdversarialLoss(nn.Module, ABC):
    """Base of the adversarial losses: one side for the discriminator, one for the generator, on logits in fp32."""

    @abstractmethod
    def discriminator(self, real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Small when real logits are high and fake ones low."""

    @abstractmethod
    def generator(self, fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Small when fake logits are high."""


class HingeLoss(AdversarialLoss):
    """`mean max(0, 1 - real) / 2 + mean max(0, 1 + fake) / 2` against `-mean fake`: VQGAN's choice.

    Logits beyond the margin pull no further, so the discriminator does not grow ever surer.

    Example:
        >>> import torch
        >>> loss = HingeLoss()
        >>> loss.discriminator(torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])).item()
        0.75
        >>> loss.generator(torch.tensor([-1.0, 1.0, 3.0])).item()
        -1.0

    Source: Lim and Ye (1705.02894); Miyato et al. (1802.05957); the factor 1/2 is VQGAN's.
    """

    def discriminator(self, real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Logits of any shape -> scalar, >= 0; 1 for a discriminator that knows nothing."""
        return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean())

    def generator(self, fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Logits of any shape -> scalar."""
        return -fake.float().mean()


class VanillaLoss(AdversarialLoss):
    """Binary cross-entropy: `mean softplus(-real) / 2 + mean softplus(fake) / 2` against `mean softplus(-fake)`.

    The generator's side is the non-saturating one.

    Example:
        >>> import torch
        >>> loss = VanillaLoss()
        >>> round(loss.discriminator(torch.zeros(2), torch.zeros(2)).item(), 4)  # log 2
        0.6931

    Source: Goodfellow et al. (1406.2661).
    """

    def discriminator(self, real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Logits of any shape -> scalar, >= 0; log 2 for a discriminator that knows nothing."""
        return 0.5 * (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())

    def generator(self, fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Logits of any shape -> scalar, >= 0."""
        return F.softplus(-fake.float()).mean()
