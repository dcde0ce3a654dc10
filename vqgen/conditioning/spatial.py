"""A grid as the condition: the codes of another image, or a label map."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.conditioning.base import NO_LABEL, Conditioner


class SpatialConditioner(Conditioner):
    """Base of the conditioners whose condition is a grid (b, h', w') of codes or labels, -1 where there is none.

    A code becomes a learned vector, and one more stands for "none"; the classes derived from this one say where in the
    prior these vectors go. In training the whole grid of an image is hidden with probability ``condition_dropout``, so
    that one prior gives the conditional and the unconditional distribution that classifier-free guidance combines.

    Args:
        num_codes: number of codes or labels, >= 1; they run from 0 to num_codes - 1.
        grid_height: rows of the condition, h'.
        grid_width: columns of the condition, w'.
        dim: width of the prior, d.
        condition_dropout: probability in [0, 1] of hiding a grid in training mode.
        code_dim: width of the latents that `use_codebook` was given; None without.

    Raises:
        ValueError: when an argument is out of its range.

    Source: Esser et al., Taming Transformers (2012.09841), section 3.2: conditions with spatial extent, as codes of
    their own; Ho and Salimans, Classifier-Free Diffusion Guidance (2207.12598), algorithm 1.
    """

    reads = "condition"
    latents: Tensor | None

    def __init__(
        self,
        num_codes: int,
        grid_height: int,
        grid_width: int,
        *,
        dim: int,
        condition_dropout: float = 0.1,
        code_dim: int | None = None,
    ) -> None:
        super().__init__()
        sizes = {"num_codes": num_codes, "grid_height": grid_height, "grid_width": grid_width, "dim": dim}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be >= 1, got {name}={size}")
        if not 0.0 <= condition_dropout <= 1.0:
            raise ValueError(f"condition_dropout must be a probability in [0, 1], got {condition_dropout}")
        self.num_codes = num_codes
        self.dim = dim
        self.grid_height = grid_height
        self.grid_width = grid_width
        self.condition_dropout = condition_dropout
        self.code_dim: int | None = None
        self.start = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.embedding = nn.Embedding(num_codes + 1, dim)  # the last row stands for "none"
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.register_buffer("latents", None)
        self.from_latents: nn.Linear | None = None
        if code_dim is not None:
            self.use_codebook(torch.zeros(num_codes, code_dim))

    def use_codebook(self, latents: Float[Tensor, "k e"]) -> None:
        """Let the grid's codes be known by the latents of the tokenizer they are of, which codes look alike.

        A projection of the latent, each feature brought to mean 0 and standard deviation 1, is added to what is learned
        of a code alone, as `vqgen.prior.CodeFeatures` does for the codes that are predicted.

        Args:
            latents: (k, e) latent of every code, `Tokenizer.codebook()` of the tokenizer of the condition.

        Raises:
            ValueError: when there are not num_codes of them.
        """
        if latents.shape[0] != self.num_codes:
            raise ValueError(
                f"expected the latents of {self.num_codes} codes, got {latents.shape[0]}; pass the codebook of the "
                "tokenizer that makes the condition"
            )
        self.code_dim = latents.shape[1]
        spread, mean = torch.std_mean(latents.detach().double(), dim=0, correction=0)
        features = ((latents.detach() - mean) / spread.clamp_min(1e-12)).float()
        place = self.embedding.weight.device
        self.latents = F.pad(features, (0, 0, 0, 1)).to(place)  # "none" looks like nothing
        projection = nn.Linear(self.code_dim, self.dim, bias=False)
        nn.init.normal_(projection.weight, std=0.02 * self.code_dim**-0.5)
        self.from_latents = projection.to(place)

    def embed(
        self, condition: Int[Tensor, "b r c"] | None, batch_size: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b r c d"]:
        """Look up the vectors of grids, hiding some of them in training mode.

        Args:
            condition: (b, h', w') int64 in [-1, num_codes), or None for no grid at all.
            batch_size: b, number of images.
            generator: draws which grids are hidden; torch's global one when None.

        Returns:
            (b, h', w', d).

        Raises:
            ValueError: when the shape does not fit, or a code is out of range (looked at on the CPU alone; elsewhere
                that would stall the device).
        """
        size = (batch_size, self.grid_height, self.grid_width)
        if condition is None:
            return self._look_up(torch.full(size, self.num_codes, device=self.embedding.weight.device))
        if condition.shape != size:
            raise ValueError(
                f"expected a condition of shape {size}, one grid of {self.grid_height} x {self.grid_width} for each "
                f"of {batch_size} images, got {tuple(condition.shape)}; see the conditioner's grid_height, grid_width"
            )
        if condition.device.type == "cpu" and condition.numel() > 0:
            least, most = int(condition.min()), int(condition.max())
            if least < NO_LABEL or most >= self.num_codes:
                raise ValueError(
                    f"the condition's codes must be from -1 (none) to {self.num_codes - 1}, got {least} to {most}; "
                    "make the condition as in training, or set num_codes to the number of its codes"
                )
        hidden = condition == NO_LABEL
        if self.training and self.condition_dropout > 0.0:
            chances = torch.rand((batch_size, 1, 1), device=condition.device, generator=generator)
            hidden = hidden | (chances < self.condition_dropout)
        return self._look_up(torch.where(hidden, self.num_codes, condition))

    def _look_up(self, codes: Int[Tensor, "b r c"]) -> Float[Tensor, "b r c d"]:
        found: Tensor = self.embedding(codes)
        if self.from_latents is None or self.latents is None:
            return found
        return found + self.from_latents(F.embedding(codes, self.latents))
