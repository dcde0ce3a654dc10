"""DALL-E's quantizer: a code is drawn from a relaxed categorical distribution."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.quantizers.base import Quantized, Quantizer
from vqgen.quantizers.rows import check_codes


class GumbelQuantizer(Quantizer):
    """Latents are logits of k codes; training draws a code by the Gumbel-softmax relaxation (DALL-E, 2102.12092).

    `y = softmax((logits + g) / temperature)` with Gumbel noise g in training, none in evaluation, and
    `loss = kl_weight * KL(softmax(logits) || uniform)`, the mean over cells, in nats. Backward passes through y.

    Its latents are k wide in both directions: `dim` is `codebook_size`, and what comes out is y, or one-hot. The
    codebook is therefore the 1x1 convolution that the tokenizer puts behind the quantizer, as in DALL-E's decoder, and
    the one before it makes the logits, as in DALL-E's encoder.

    The temperature falls along a cosine from `temperature_start` to `temperature_end`, reached at the progress
    `anneal_until`; `set_progress` moves it.

    Args:
        codebook_size: number of codes k, >= 2.
        temperature_start: at progress 0, > 0.
        temperature_end: at progress `anneal_until` and after, > 0.
        anneal_until: share of training in which the temperature falls, in (0, 1].
        kl_weight: weight of the divergence from equal use of all codes, >= 0. DALL-E's is 6.6 / 192 = 0.034, beside the
            negative log-likelihood of a pixel's channel.
        kl_ramp_until: share of training in which that weight rises from 0, along a line, in (0, 1], as DALL-E
            does at first; None has all of it from the start.
        hard: give the decoder one-hot codes in training as it will see them later, and pass the gradient of y straight
            through; False mixes codes by y, as DALL-E does. Evaluation is always one-hot.

    Attributes:
        dim: k.
        temperature: the present one.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> quantizer = GumbelQuantizer(codebook_size=16, temperature_end=0.5)
        >>> quantizer(torch.randn(2, 16, 3, 5)).codes.shape
        torch.Size([2, 3, 5])
        >>> quantizer.set_progress(1.0)
        >>> quantizer.temperature
        0.5
    """

    def __init__(
        self,
        codebook_size: int,
        *,
        temperature_start: float = 1.0,
        temperature_end: float = 1 / 16,
        anneal_until: float = 1.0,
        kl_weight: float = 5e-4,
        hard: bool = True,
        kl_ramp_until: float | None = None,
    ) -> None:
        super().__init__()
        if codebook_size < 2:
            raise ValueError(f"codebook_size must be >= 2, got {codebook_size}")
        if temperature_start <= 0 or temperature_end <= 0:
            raise ValueError(
                f"temperature_start and temperature_end must be > 0, got {temperature_start} and {temperature_end}"
            )
        if not 0 < anneal_until <= 1:
            raise ValueError(f"anneal_until must be in (0, 1], a share of training, got {anneal_until}")
        if kl_weight < 0:
            raise ValueError(f"kl_weight must be >= 0, got {kl_weight}")
        if kl_ramp_until is not None and not 0 < kl_ramp_until <= 1:
            raise ValueError(f"kl_ramp_until must be in (0, 1], a share of training, or None, got {kl_ramp_until}")
        self.codebook_size = codebook_size
        self.dim = codebook_size
        self.temperature_start = temperature_start
        self.temperature_end = temperature_end
        self.anneal_until = anneal_until
        self.kl_weight = kl_weight
        self.hard = hard
        self.kl_ramp_until = kl_ramp_until

    @property
    def temperature(self) -> float:
        """Temperature at the present progress."""
        done = min(1.0, self.progress / self.anneal_until)
        left = (1 + math.cos(math.pi * done)) / 2
        return self.temperature_end + (self.temperature_start - self.temperature_end) * left

    def forward(self, latents: Float[Tensor, "b d h w"]) -> Quantized:
        """Draw codes in training, take the likeliest in evaluation.

        Args:
            latents: (b, k, h, w) logits, any float type. The noise is of torch's global generator, as dropout's is.

        Returns:
            (b, k, h, w) weights of the codes in fp32, the codes, and the loss.
        """
        with torch.autocast(latents.device.type, enabled=False):
            logits = self._logits(latents)
            noise = -torch.empty_like(logits).exponential_().log() if self.training else 0.0
            soft = F.softmax((logits + noise) / self.temperature, dim=1)
            codes = soft.detach().argmax(1)
            if self.hard or not self.training:
                mixed = soft + (self._one_hot(codes) - soft).detach()
            else:
                mixed = soft
            log_shares = F.log_softmax(logits, dim=1)
            divergence = (log_shares.exp() * (log_shares + math.log(self.codebook_size))).sum(1).mean()
        ramp = 1.0 if self.kl_ramp_until is None else min(1.0, self.progress / self.kl_ramp_until)
        return Quantized(latents=mixed, codes=codes, loss=self.kl_weight * ramp * divergence)

    def encode(self, latents: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """The likeliest codes.

        Args:
            latents: (b, k, h, w) logits.

        Returns:
            (b, h, w) int64 in [0, k).
        """
        return self._logits(latents).argmax(1)

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """One-hot codes.

        Args:
            codes: (b, h, w) in [0, k).

        Returns:
            (b, k, h, w) fp32.

        Raises:
            ValueError: if a code is out of range.
        """
        check_codes(codes, self.codebook_size)
        return self._one_hot(codes)

    def _one_hot(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        b, h, w = codes.shape
        empty = torch.zeros(b, self.codebook_size, h, w, device=codes.device)
        return empty.scatter_(1, codes[:, None], 1.0)

    def _logits(self, latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        if latents.shape[1] != self.dim:
            raise ValueError(
                f"expected latents of width {self.dim}, one logit a code, got {latents.shape[1]}; match the encoder"
            )
        return latents.float()
