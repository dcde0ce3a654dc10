"""The masked Transformer prior: any hidden codes of a grid from all the others."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import Attention, BidirectionalAttention, Linear, Places, attention_of, check_attentions
from vqgen.conditioning import Conditioner, LabelConditioner, Told, Unconditional
from vqgen.prior.block import Block
from vqgen.prior.code_features import CodeFeatures
from vqgen.prior.code_transformer import CodeTransformer, check_arguments
from vqgen.prior.dropout import Dropout
from vqgen.prior.masking import MASKINGS, masked_counts
from vqgen.prior.signals import combine_signals
from vqgen.prior.steps import NO_CELL, Steps
from vqgen.prior.style import STYLES

MASKED_SIGNALS = ("cell", "target", "rotary")
"""Signals that say where a cell is without saying when it is visited."""


class MaskedPrior(CodeTransformer):
    """A bidirectional Transformer over the grid that predicts every hidden code from all codes that are not hidden.

    ``p(code at c | codes of the visible cells, condition)``, for any set of visible cells. There is no order: a row
    stands for a cell, holds its code or a learned mask in its place, and sees all rows. It is built of the same blocks,
    signals and conditioners as `Prior`, and is drawn from with `sample_masked`.

    Training hides a random part of the cells and predicts them. As evaluated, `nll` estimates a bound that can be
    compared with the likelihood of an autoregressive prior.

    Args:
        codebook_size: number of codes, k.
        height: rows of the grid, h.
        width: columns of the grid, w.
        num_classes: number of class labels; 0 for an unconditional prior.
        dim: width of the hidden states, d.
        depth: number of blocks.
        heads: attention heads per block; divides d.
        style: ``gpt`` or ``llama``, see `STYLES`.
        signals: names from `MASKED_SIGNALS`, combined. Content and target of a row are the same cell here, so
            ``rotary`` is the usual two-dimensional rotary embedding, and ``target`` says no more than ``cell``.
        dropout: probability in [0, 1) of dropping features of the input and of what each layer adds, in training mode.
        label_dropout: probability in [0, 1] of hiding a label in training mode.
        code_dim: width of the tokenizer's latents that `use_codebook` was given, see `CodeFeatures`; None without.
        attention: how the rows of a layer meet, of several layer i takes number i modulo their count. It must mean
            something without an order: where a pattern asks which cells were visited before, all were. None for
            `BidirectionalAttention` in every layer.
        conditioner: what it is told and how; None for labels if there are classes.
        masking: how much of the grid training hides, a name from `MASKINGS`. With ``cosine`` all hidden cells of a
            batch count alike; with ``uniform`` all images do, and the loss is the bound.

    Raises:
        ValueError: when a size, a name or a combination is not possible.

    Example:
        >>> import torch
        >>> prior = MaskedPrior(512, height=4, width=4, num_classes=10, dim=32, depth=2, heads=2)
        >>> codes, hidden = torch.randint(512, (3, 4, 4)), torch.rand(3, 4, 4) < 0.5
        >>> prior(codes, hidden, torch.tensor([1, 5, -1])).shape
        torch.Size([3, 4, 4, 512])

    Source: Devlin et al., BERT (1810.04805), section 3.1; Chang et al., MaskGIT (2202.04200), section 3.2; Chang et
    al., Muse (2301.00704).
    """

    def __init__(
        self,
        codebook_size: int,
        height: int,
        width: int,
        num_classes: int = 0,
        *,
        dim: int = 512,
        depth: int = 12,
        heads: int = 8,
        style: str = "llama",
        signals: Sequence[str] = ("cell", "rotary"),
        dropout: float = 0.0,
        label_dropout: float = 0.1,
        code_dim: int | None = None,
        attention: Attention | Sequence[Attention] | None = None,
        conditioner: Conditioner | None = None,
        masking: str = "cosine",
    ) -> None:
        super().__init__()
        check_arguments(
            codebook_size=codebook_size,
            height=height,
            width=width,
            num_classes=num_classes,
            dim=dim,
            depth=depth,
            heads=heads,
            style=style,
            dropout=dropout,
            code_dim=code_dim,
            conditioner=conditioner,
        )
        if unknown := [name for name in signals if name not in MASKED_SIGNALS]:
            raise ValueError(
                f"signals of a masked prior must be among {', '.join(MASKED_SIGNALS)}, got {', '.join(unknown)}: it "
                "has no steps to tell of"
            )
        if masking not in MASKINGS:
            raise ValueError(f"masking must be one of {', '.join(MASKINGS)}, got {masking!r}")
        self.codebook_size = codebook_size
        self.height = height
        self.width = width
        self.num_classes = num_classes
        self.dim = dim
        self.depth = depth
        self.heads = heads
        self.style = style
        self.signals = tuple(signals)
        self.dropout = dropout
        self.label_dropout = label_dropout
        self.code_dim = code_dim
        # A tuple, so that it is no submodule: what layers use is theirs.
        self.attention = (attention,) if isinstance(attention, Attention) else attention
        if self.attention is not None:
            self.attention = tuple(self.attention)
        self.masking = masking

        self.made_from_others = frozenset(() if conditioner is not None else ("conditioner",))
        self.conditioner: Conditioner = conditioner or (
            LabelConditioner(num_classes, dim, label_dropout) if num_classes else Unconditional(dim)
        )
        self.code_embedding = nn.Embedding(codebook_size, dim)
        self.mask = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.code_features = None if code_dim is None else CodeFeatures(codebook_size, code_dim=code_dim, dim=dim)
        combined = combine_signals(self.signals, dim=dim, heads=heads, height=height, width=width)
        self.additive_signals, self.rotary_signal = combined.additive, combined.rotary
        self.input_dropout = Dropout(dropout)
        self.attentions = check_attentions(self.attention or (BidirectionalAttention(),), rows=1)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                style=STYLES[style],
                dropout=dropout,
                attention=attention_of(self.attentions, layer).layer(dim=dim, heads=heads, height=height, width=width),
                memory=self.conditioner.memory_rows > 0,
            )
            for layer in range(depth)
        )
        self.final_norm = STYLES[style].norm(dim)
        self.head = Linear(dim, codebook_size, bias=False)
        self._initialise()

    def forward(
        self,
        codes: Int[Tensor, "b h w"],
        masked: Bool[Tensor, "b h w"],
        condition: Int[Tensor, "b *shape"] | Told | None = None,
        *,
        cells: Int[Tensor, "b q"] | None = None,
    ) -> Float[Tensor, "b *cells k"]:
        """Predict the codes of a grid from those that are not hidden.

        Args:
            codes: (b, h, w) int64; what stands in hidden cells is not read.
            masked: (b, h, w), True where a code is hidden.
            condition: (b, ...) int64, -1 for none; or None; or what `conditioner` made of it, which spares doing so at
                every call.
            cells: (b, q) raster indices of the cells to answer for, which spares the cost of the others' logits; None
                for all.

        Returns:
            (b, h, w, k) logits, or (b, q, k) with ``cells``. Those of a visible cell are given its own code.

        Raises:
            ValueError: when the grid is not the prior's, or the condition does not fit.
        """
        if codes.shape[1:] != (self.height, self.width):
            raise ValueError(
                f"expected codes of {self.height} x {self.width} cells, got {tuple(codes.shape[1:])}; a masked prior "
                "takes the whole grid it was built for"
            )
        told = condition if isinstance(condition, Told) else self.conditioner(condition, len(codes))
        hidden = self._transform(self._rows(codes.flatten(1), masked.flatten(1), told), told)
        if cells is not None:
            hidden = hidden.gather(1, cells[..., None].expand(-1, -1, self.dim))
        logits = self._logits(hidden)
        return logits if cells is not None else logits.view(-1, self.height, self.width, self.codebook_size)

    def nll(
        self,
        codes: Int[Tensor, "b h w"],
        positions: Int[Tensor, "b n"],
        condition: Int[Tensor, "b *shape"] | None = None,
        *,
        generator: torch.Generator | None = None,
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, "b n"]:
        """What training minimises the mean of; as evaluated, an estimate of a bound on the negative log-likelihood.

        Of each image m cells are hidden, wherever chance puts them: the order given matters to nothing but the layout
        of the result. Were the codes drawn one by one in a random order s, then over these orders
        ``-log p(codes) <= E[sum_t -log p(code at s[t] | codes at s[:t])]``, and as each of the last m cells of a random
        order is as likely to be the next one as any other, that is
        ``E over m of n / m * sum of -log p over the m hidden cells``, m uniform from 1 to n. Per code it compares with
        the likelihood of a prior that takes any order; one of a single order has no such gap.

        In evaluation mode one m an image estimates this without bias, and the mean of the result is the bound. In
        training mode m is as `masking` says; but for ``uniform`` every hidden cell of the batch has the same weight,
        and the mean of the result is theirs.

        Args:
            codes: (b, h, w) int64.
            positions: (b, n) raster index of the cell that each number of the result is about.
            condition: (b, ...) int64, -1 for none; or None.
            generator: of what is hidden; None takes torch's own for the CPU.
            label_smoothing: share of probability spread over all codes, in [0, 1).

        Returns:
            (b, n) weighted nats in the order given, 0 where visible; float32.

        Source: Uria et al., A Deep and Tractable Density Estimator (1310.1757), equation 9; Hoogeboom et al.,
        Autoregressive Diffusion Models (2110.02037), equation 3.
        """
        masking = self.masking if self.training else "uniform"
        batch, cells = positions.shape
        counts = masked_counts(batch, cells, masking, generator)
        keys = torch.rand(batch, cells, generator=generator, device=counts.device)
        masked = (keys.argsort(dim=1).argsort(dim=1) < counts[:, None]).to(codes.device)
        nats = self.nats(codes, masked.view_as(codes), condition, label_smoothing=label_smoothing)
        share = counts[:, None] / cells if masking == "uniform" else counts.sum() / masked.numel()
        return nats.flatten(1).gather(1, positions) / share.to(nats.device)

    def nats(
        self,
        codes: Int[Tensor, "b h w"],
        masked: Bool[Tensor, "b h w"],
        condition: Int[Tensor, "b *shape"] | Told | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, "b h w"]:
        """Score each hidden code by itself, given those that are not hidden.

        Args:
            codes: (b, h, w) int64.
            masked: (b, h, w), True where a code is hidden.
            condition: as in `forward`.
            label_smoothing: share of probability spread over all codes, in [0, 1).

        Returns:
            (b, h, w) ``-log p`` of the codes, 0 where visible; float32.
        """
        logits = self(codes, masked, condition).flatten(0, 2).float()
        nats = F.cross_entropy(logits, codes.flatten(), reduction="none", label_smoothing=label_smoothing)
        return torch.where(masked, nats.view_as(codes), 0.0)

    def _rows(self, codes: Int[Tensor, "b n"], masked: Bool[Tensor, "b n"], told: Told) -> Float[Tensor, "b rows d"]:
        """What a condition puts before the start, the start, and a row for each cell."""
        embedded = self._embed(codes.masked_fill(masked, 0))
        embedded = torch.where(masked[..., None], self.mask, embedded)
        if told.cells is not None:
            embedded = embedded + told.cells
        rows = torch.cat((told.start[:, None], embedded), dim=1)
        steps = self._steps(prefix=0)
        for signal in self.additive_signals.values():
            rows = rows + signal(steps)
        return rows if told.prefix is None else torch.cat((told.prefix.to(rows.dtype), rows), dim=1)

    def _transform(self, rows: Float[Tensor, "b rows d"], told: Told) -> Float[Tensor, "b n d"]:
        """Carry all rows through all blocks; gives those of the cells."""
        steps = self._steps(prefix=rows.shape[1] - 1 - self.height * self.width)
        reaches = [
            None if isinstance(attention, BidirectionalAttention) else attention.reach(self._places(steps))
            for attention in self.attentions
        ]
        rotation = None if self.rotary_signal is None else self.rotary_signal(steps)
        hidden = self.input_dropout(rows)
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            memory = None
            if told.memory is not None:
                assert block.cross_attention is not None
                memory = block.cross_attention.remember(told.memory, told.memory_mask)
            hidden = block(hidden, rotation, None, reaches[index % len(reaches)], memory)
        normalised: Tensor = self.final_norm(hidden[:, -self.height * self.width :])
        return normalised

    def _steps(self, *, prefix: int) -> Steps:
        """Rows as the signals see them: content and target are the same cell, and none before the first cell's row."""
        index = torch.arange(-1 - prefix, self.height * self.width, device=self.mask.device)
        cells = index.clamp_min(NO_CELL)[None]
        return Steps(index, cells, cells)

    def _places(self, steps: Steps) -> Places:
        """Rows as an attention sees them: every cell was visited before every other, so to say."""
        everywhere = torch.ones(len(steps.index), len(steps.index), dtype=torch.bool, device=self.mask.device)
        cells = steps.target[0]
        return Places(
            steps.target, steps.content, 0, self.height, self.width, everywhere, step=cells, content_step=cells
        )
