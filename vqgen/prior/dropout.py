"""Dropout whose random numbers cost little on the CPU."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEVELS = 2**16


class Dropout(nn.Dropout):
    """In training mode, set features to zero with a probability and scale the others up to keep the mean.

    The same as ``nn.Dropout``. On the CPU that draws a number of 64 bits for every feature, in one thread, which takes
    longer than the layer it follows; here such a number serves four features.

    Args:
        p: probability of dropping a feature, in [0, 1); kept to 1.5e-5 on the CPU.

    Example:
        >>> import torch
        >>> dropped = Dropout(0.5)(torch.ones(1000))
        >>> sorted(dropped.unique().tolist())
        [0.0, 2.0]

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (JMLR 2014).
    """

    def forward(self, features: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drop features.

        Args:
            features: any shape.

        Returns:
            The same shape; the features themselves outside training mode.
        """
        if not self.training or self.p == 0.0:
            return features
        if features.device.type != "cpu":
            kept: Tensor = super().forward(features)
            return kept
        dropped = round(self.p * LEVELS)
        draws = torch.empty((features.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        level = draws.view(torch.int16)[: features.numel()].view(features.shape)  # even over [-32768, 32768)
        scale = (level >= dropped - LEVELS // 2).to(features.dtype).mul_(LEVELS / (LEVELS - dropped))
        return features * scale
