"""What the tokenizer knows of its codes, told to the prior."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class CodeFeatures(nn.Module):
    """Adds to each code's embedding a projection of its latent, and to its logit the latent's product with one.

    A prior that learns a vector per code from nothing has to see each of them often. The tokenizer's latents already
    say which codes look alike, so what is learned of one is learned of its neighbours: ``embed(c) = A z_c`` and
    ``logit_c(h) = <z_c, B h>``, with the latents z fixed and A and B learned. Both are added to a table of the prior's
    own, so nothing is lost where likeness misleads.

    Args:
        codebook_size: number of codes, k.
        code_dim: width of the latents, e.
        dim: width of the prior, d.

    Raises:
        ValueError: when a size is below 1.

    Example:
        >>> import torch
        >>> features = CodeFeatures(8, code_dim=2, dim=4)
        >>> features.fill(torch.randn(8, 2))
        >>> features.embed(torch.tensor([[0, 7]])).shape, features.logits(torch.randn(1, 2, 4)).shape
        (torch.Size([1, 2, 4]), torch.Size([1, 2, 8]))
    """

    latents: Tensor

    def __init__(self, codebook_size: int, *, code_dim: int, dim: int) -> None:
        super().__init__()
        if min(codebook_size, code_dim, dim) < 1:
            raise ValueError(
                f"sizes must be >= 1, got codebook_size={codebook_size}, code_dim={code_dim} and dim={dim}"
            )
        self.register_buffer("latents", torch.zeros(codebook_size, code_dim))
        self.into = nn.Linear(code_dim, dim, bias=False)
        self.out = nn.Linear(dim, code_dim, bias=False)
        nn.init.normal_(self.into.weight, std=0.02 * code_dim**-0.5)  # embeddings as large as those of the table
        nn.init.zeros_(self.out.weight)  # a head that knows nothing

    def fill(self, latents: Float[Tensor, "k e"]) -> None:
        """Take the tokenizer's latents over, each feature brought to mean 0 and standard deviation 1.

        Args:
            latents: (k, e) of every code.

        Raises:
            ValueError: when they are not as many or not as wide as they should be.
        """
        if latents.shape != self.latents.shape:
            expected, got = tuple(self.latents.shape), tuple(latents.shape)
            raise ValueError(f"expected latents (k, e) = {expected}, got {got}; pass this tokenizer's codebook")
        spread, mean = torch.std_mean(latents.detach().double(), dim=0, correction=0)
        self.latents.copy_((latents.detach() - mean) / spread.clamp_min(1e-12))

    def embed(self, codes: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
        """What to add to the embedding of codes (b, m)."""
        embedded: Tensor = self.into(F.embedding(codes, self.latents))
        return embedded

    def logits(self, hidden: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k"]:
        """What to add to the logits of all codes, from hidden states (b, m, d)."""
        return F.linear(self.out(hidden), self.latents)
