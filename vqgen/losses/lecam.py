"""LeCam regularisation of the discriminator."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.quantizers.processes import mean_over_processes


class LeCam(nn.Module):
    """Keeps the discriminator's logits near the moving average of what it says of the other kind.

    `mean (D(real) - a_fake)^2 + mean (D(fake) - a_real)^2`, the anchors a being exponential averages of mean logits. It
    holds back a discriminator that learns its few images by heart; use it where data is scarce.

    Args:
        decay: of the anchors, in [0, 1).

    Raises:
        ValueError: if `decay` is out of range.

    Example:
        >>> lecam = LeCam()
        >>> lecam(torch.tensor([1.0]), torch.tensor([-1.0])).item()  # the first batch sets the anchors to 1 and -1
        8.0

    Source: Tseng et al., Regularizing generative adversarial networks under limited data (2104.03310), equation 5.
    """

    anchors: Tensor
    started: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("anchors", torch.zeros(2))  # of real and of fake logits
        self.register_buffer("started", torch.tensor(False))

    def forward(self, real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Move the anchors, then compare with them.

        Args:
            real: logits of real images, of any shape.
            fake: logits of reconstructions.

        Returns:
            The penalty, a scalar >= 0.
        """
        real, fake = real.float(), fake.float()
        means = mean_over_processes(torch.stack([real.detach().mean(), fake.detach().mean()]))
        # The first batch sets them: averages that begin at zero would pull towards it.
        self.anchors.copy_(torch.where(self.started, self.anchors.lerp(means, 1 - self.decay), means))
        self.started.fill_(True)
        anchor_real, anchor_fake = self.anchors.clone()
        return (real - anchor_fake).square().mean() + (fake - anchor_real).square().mean()
