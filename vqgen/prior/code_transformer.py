"""What every Transformer over codes has, whatever it sees of them: codes in, logits out, and how it starts."""

from abc import ABC

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.checkpoint import Portable
from vqgen.conditioning import AlignedGridConditioner, Conditioner
from vqgen.prior.block import Block
from vqgen.prior.code_features import CodeFeatures
from vqgen.prior.style import STYLES


class CodeTransformer(Portable, ABC):
    """Base of the priors: the embedding of codes, the head, what the tokenizer knows of codes, and the first weights.

    Attributes:
        codebook_size: number of codes, k.
        height: rows of the grid, h.
        width: columns of the grid, w.
        num_classes: number of class labels; 0 for none.
        dim: width of the hidden states, d.
        depth: number of blocks.
        code_dim: width of the latents that `use_codebook` was given; None without.
        conditioner: what it is told and how.
        code_embedding: a vector for every code.
        code_features: what the tokenizer knows of codes; None without.
        blocks: the layers.
        head: from hidden states to logits.
    """

    codebook_size: int
    height: int
    width: int
    num_classes: int
    dim: int
    depth: int
    code_dim: int | None
    conditioner: Conditioner
    code_embedding: nn.Embedding
    code_features: CodeFeatures | None
    blocks: nn.ModuleList
    head: nn.Linear

    def use_codebook(self, latents: Float[Tensor, "k e"]) -> None:
        """Let the prior know its codes by the tokenizer's latents, from the first training step on.

        Args:
            latents: (k, e) latent of every code, `Tokenizer.codebook()`.

        Raises:
            ValueError: when there are not k of them.
        """
        self.code_dim = latents.shape[-1]
        features = CodeFeatures(self.codebook_size, code_dim=self.code_dim, dim=self.dim)
        features.fill(latents.to(features.latents.device))
        self.code_features = features.to(self.code_embedding.weight.device)

    def _initialise(self) -> None:
        nn.init.normal_(self.code_embedding.weight, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Blocks that add nothing at first, and a head that knows nothing: the loss starts at exactly log k and falls at
        # once.
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.zeros_(block.attention.output.weight)
            nn.init.zeros_(block.feed_forward.narrow.weight)
            if block.cross_attention is not None:
                nn.init.zeros_(block.cross_attention.output.weight)
        nn.init.zeros_(self.head.weight)

    def _embed(self, codes: Int[Tensor, "b p"]) -> Float[Tensor, "b p d"]:
        embedded: Tensor = self.code_embedding(codes)
        return embedded if self.code_features is None else embedded + self.code_features.embed(codes)

    def _logits(self, hidden: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k"]:
        logits: Tensor = self.head(hidden)
        return logits if self.code_features is None else logits + self.code_features.logits(hidden)


def check_arguments(
    *,
    codebook_size: int,
    height: int,
    width: int,
    num_classes: int,
    dim: int,
    depth: int,
    heads: int,
    style: str,
    dropout: float,
    code_dim: int | None,
    conditioner: Conditioner | None,
) -> None:
    """Refuse arguments of which no Transformer over codes can be built; see `Prior` for what they mean.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> size = dict(height=2, width=2, num_classes=0, dim=8, depth=1, heads=3, style="llama", dropout=0.0)
        >>> check_arguments(codebook_size=16, **size, code_dim=None, conditioner=None)
        Traceback (most recent call last):
        ...
        ValueError: dim must be divisible by heads, got dim=8 and heads=3
    """
    sizes = {"codebook_size": codebook_size, "height": height, "width": width}
    for name, size in {**sizes, "dim": dim, "depth": depth, "heads": heads}.items():
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {name}={size}")
    if code_dim is not None and code_dim < 1:
        raise ValueError(f"code_dim must be >= 1 or None, got {code_dim}; None learns every code from nothing")
    if num_classes < 0:
        raise ValueError(f"num_classes must be >= 0, got {num_classes}; pass 0 for an unconditional prior")
    if dim % heads:
        raise ValueError(f"dim must be divisible by heads, got dim={dim} and heads={heads}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must be a probability in [0, 1), got {dropout}")
    if conditioner is not None and num_classes:
        raise ValueError(
            f"num_classes and conditioner both say what the prior is told, got num_classes={num_classes} and a "
            f"{type(conditioner).__name__}; pass one of them"
        )
    if conditioner is not None and conditioner.dim != dim:
        raise ValueError(
            f"the conditioner must be as wide as the prior, got dim={conditioner.dim} of the conditioner and {dim}"
        )
    if isinstance(conditioner, AlignedGridConditioner) and (conditioner.height, conditioner.width) != (height, width):
        raise ValueError(
            f"the conditioner tells of the cells of a grid of {conditioner.height} x {conditioner.width}, the prior's "
            f"has {height} x {width}; set the conditioner's height and width to the prior's"
        )
